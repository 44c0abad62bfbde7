//! bcs-cluster-manager: see the library.

use bcs_common::config::Exit;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> Exit {
    bcs_cluster_manager::main(std::env::args_os())
}
