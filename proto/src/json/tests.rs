use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::{Value, json};

use super::*;
use crate::messages::{
    Cluster, CreateClusterReq, GetClusterResp, ListClusterReq, ListClusterResp, Namespace, ResourceQuota,
};
use crate::tables::{
    CREATE_CLUSTER_REQ, CREATE_NAMESPACE_QUOTA_RESP, GET_CLUSTER_REQ, GET_CLUSTER_RESP, LIST_CLUSTER_REQ,
    LIST_CLUSTER_RESP, NAMESPACE,
};

fn written(message: &'static Message, bytes: &[u8], defaults: Defaults) -> String {
    let mut out = Vec::new();
    write(message, bytes, defaults, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn create(json: &str) -> CreateClusterReq {
    let bytes = read(&CREATE_CLUSTER_REQ, json.as_bytes(), Unknown::Ignored).unwrap();
    CreateClusterReq::decode(bytes.as_slice()).unwrap()
}

#[test]
fn the_gateway_writes_every_default() {
    assert_eq!(
        written(&GET_CLUSTER_RESP, &[], Defaults::Written),
        r#"{"code":"0","message":"","result":false,"data":null}"#
    );
    let labels = [("b<", "&"), ("a", "")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    let cluster = Cluster { cluster_id: "c".into(), labels: labels.into(), is_exclusive: true, ..Default::default() };
    let answer = GetClusterResp { code: 1_405_420, data: Some(cluster), ..Default::default() }.encode_to_vec();
    assert_eq!(
        written(&GET_CLUSTER_RESP, &answer, Defaults::Written),
        r#"{"code":"1405420","message":"","result":false,"data":{"clusterID":"c","clusterName":"","federationClusterID":"","provider":"","region":"","vpcID":"","projectID":"","businessID":"","environment":"","engineType":"","isExclusive":true,"clusterType":"","labels":{"a":"","b\u003c":"\u0026"},"operators":[],"createTime":"","updateTime":""}}"#
    );
    assert_eq!(
        written(&GET_CLUSTER_RESP, &answer, Defaults::LeftOut),
        r#"{"code":"1405420","data":{"clusterID":"c","isExclusive":true,"labels":{"a":"","b\u003c":"\u0026"}}}"#
    );
    assert_eq!(
        written(&LIST_CLUSTER_RESP, &[], Defaults::Written),
        r#"{"code":"0","message":"","result":false,"data":[]}"#
    );
    let empty = [0x22, 0];
    assert_eq!(
        written(&CREATE_NAMESPACE_QUOTA_RESP, &empty, Defaults::Written),
        r#"{"code":"0","message":"","result":false,"data":{"clusterID":""}}"#
    );
}

#[test]
fn what_is_read_as_the_gateway_reads_it() {
    let request = create(
        r#" {"clusterName":"a","clusterName":"b","ClusterName":"c","operators":["x"],"operators":["y",null],
        "labels":{"a.b/c":"1","":null,"d":"\ud800"},"isExclusive":true,"x":{"y":[1,{}]},"provider":null} {bad"#,
    );
    let labels = [("", ""), ("a.b/c", "1"), ("d", "\u{fffd}")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    let expected = CreateClusterReq {
        cluster_name: "b".into(),
        operators: vec!["y".into(), String::new()],
        labels: labels.into(),
        is_exclusive: true,
        ..Default::default()
    };
    assert_eq!(request, expected);
    // Only what counts is looked at.
    let twice = create(r#"{"provider":5,"provider":"p","labels":{"a":1,"a":"2"},"operators":[1],"operators":null}"#);
    assert_eq!((twice.provider.as_str(), twice.labels["a"].as_str(), twice.operators.len()), ("p", "2", 0));
    for nothing in ["", "  \n", "null", "{}", r#"{"labels":{"a":"b"},"labels":null,"isExclusive":false}"#] {
        assert_eq!(create(nothing), CreateClusterReq::default(), "{nothing}");
    }
    for (json, limit) in
        [(r#"{"limit":5}"#, 5), (r#"{"limit":"18446744073709551615"}"#, u64::MAX), (r#"{"limit":0}"#, 0)]
    {
        let bytes = read(&LIST_CLUSTER_REQ, json.as_bytes(), Unknown::Refused).unwrap();
        assert_eq!(ListClusterReq::decode(bytes.as_slice()).unwrap().limit, limit);
    }
}

#[test]
fn what_is_refused() {
    for (json, words) in [
        ("[]", "json: cannot unmarshal array into Go value of type map[string]json.RawMessage"),
        (r#"{"clusterName":5}"#, "json: cannot unmarshal number into Go value of type string"),
        (r#"{"isExclusive":"true"}"#, "json: cannot unmarshal string into Go value of type bool"),
        (r#"{"labels":["a"]}"#, "json: cannot unmarshal array into Go value of type map[string]json.RawMessage"),
        (r#"{"labels":{"a":1}}"#, "json: cannot unmarshal number into Go value of type string"),
        (r#"{"operators":"a"}"#, "json: cannot unmarshal string into Go value of type []json.RawMessage"),
        ("{bad", "invalid character 'b' looking for beginning of object key string"),
        // Of several errors: broken JSON before wrong types, and those in the order of declaration.
        (r#"{"clusterName":5,"x":}"#, "invalid character '}' looking for beginning of value"),
        (r#"{"isExclusive":1,"clusterName":true}"#, "json: cannot unmarshal bool into Go value of type string"),
    ] {
        let error = read(&CREATE_CLUSTER_REQ, json.as_bytes(), Unknown::Ignored).unwrap_err();
        assert_eq!(error.to_string(), words, "{json}");
    }
    for bad in ["-1", "1.0", "1e3", "\"\"", "\"x\"", "\"-1\"", "\"01\"", "18446744073709551616", "true"] {
        let json = format!(r#"{{"limit":{bad}}}"#);
        assert!(read(&LIST_CLUSTER_REQ, json.as_bytes(), Unknown::Ignored).is_err(), "{bad}");
    }
    let error = read(&GET_CLUSTER_REQ, br#"{"x":1,"clusterID":5}"#, Unknown::Refused).unwrap_err();
    assert_eq!(error.to_string(), "json: cannot unmarshal number into Go value of type string");
    let error = read(&GET_CLUSTER_REQ, br#"{"clusterID":"none","x":1}"#, Unknown::Refused).unwrap_err();
    assert_eq!(error.to_string(), "unknown field \"x\" in clustermanager.GetClusterReq");
}

#[test]
fn bytes_that_are_no_message_are_refused() {
    for bytes in [&b"\xff\xff"[..], b"\x0a\x05ab", b"\x08\x01", b"\x12", b"\x0a\x01\xff"] {
        assert!(write(&NAMESPACE, bytes, Defaults::Written, &mut Vec::new()).is_err(), "{bytes:?}");
    }
}

/// The contract for the reflection library: another implementation to compare with.
fn pool() -> DescriptorPool {
    let mut compiler = protox::Compiler::new([concat!(env!("CARGO_MANIFEST_DIR"), "/proto")]).unwrap();
    compiler.include_imports(true).open_file("clustermanager.proto").unwrap();
    compiler.descriptor_pool()
}

fn reflected(pool: &DescriptorPool, name: &str, bytes: &[u8]) -> Value {
    let descriptor = pool.get_message_by_name(name).unwrap();
    let message = DynamicMessage::decode(descriptor, bytes).unwrap();
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(false);
    message.serialize_with_options(serde_json::value::Serializer, &options).unwrap()
}

prop_compose! {
    fn cluster()(
        texts in prop::collection::vec(any::<String>(), 5),
        is_exclusive: bool,
        labels in prop::collection::btree_map(any::<String>(), any::<String>(), 0..4),
        operators in prop::collection::vec(any::<String>(), 0..4),
    ) -> Cluster {
        let [cluster_id, cluster_name, provider, region, create_time] = texts.try_into().unwrap();
        Cluster { cluster_id, cluster_name, provider, region, create_time, is_exclusive, labels, operators, ..Default::default() }
    }
}

proptest! {
    #[test]
    fn messages_become_the_json_of_the_reflection_library(
        code: u64, message: String, result: bool, data in prop::collection::vec(cluster(), 0..3),
    ) {
        thread_local!(static POOL: DescriptorPool = pool());
        let bytes = ListClusterResp { code, message, result, data }.encode_to_vec();
        let ours: Value = serde_json::from_str(&written(&LIST_CLUSTER_RESP, &bytes, Defaults::Written)).unwrap();
        prop_assert_eq!(ours, POOL.with(|pool| reflected(pool, "clustermanager.ListClusterResp", &bytes)));
    }

    #[test]
    fn json_comes_back_as_the_message_it_was(
        name: String, labels in prop::collection::btree_map(any::<String>(), any::<String>(), 0..4),
        quotas in prop::collection::vec(any::<String>(), 0..3), terse: bool,
    ) {
        let quota_list = quotas.into_iter().map(|namespace| ResourceQuota { namespace, ..Default::default() }).collect();
        let message = Namespace { name, labels, quota_list, ..Default::default() };
        let defaults = if terse { Defaults::LeftOut } else { Defaults::Written };
        let json = written(&NAMESPACE, &message.encode_to_vec(), defaults);
        let bytes = read(&NAMESPACE, json.as_bytes(), Unknown::Refused).unwrap();
        prop_assert_eq!(Namespace::decode(bytes.as_slice()).unwrap(), message);
    }

    #[test]
    fn any_bytes_are_written_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = write(&LIST_CLUSTER_RESP, &bytes, Defaults::Written, &mut Vec::new());
        let _ = read(&CREATE_CLUSTER_REQ, &bytes, Unknown::Ignored);
    }

    #[test]
    fn json_is_read_as_the_reflection_library_reads_it(
        cluster_name: String, is_exclusive: bool,
        labels in prop::collection::btree_map(any::<String>(), any::<String>(), 0..3),
        operators in prop::collection::vec(any::<String>(), 0..3),
    ) {
        let json = json!({"clusterName": cluster_name, "isExclusive": is_exclusive, "labels": labels, "operators": operators});
        let ours = create(&json.to_string());
        prop_assert_eq!(ours, CreateClusterReq { cluster_name, is_exclusive, labels, operators, ..Default::default() });
    }
}
