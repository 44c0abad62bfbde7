//! bcs-check as a black box: every world of `golden/check`.

use bcs_integration_tests::check_harness;
use bcs_integration_tests::servers::zookeeper::ZooKeeper;

#[tokio::test]
async fn bcs_check_behaves_as_specified() {
    let zookeeper = ZooKeeper::start().await;
    let passed = check_harness::run(zookeeper.address()).await;
    assert!(passed >= 361, "only {passed} checks were run");
}
