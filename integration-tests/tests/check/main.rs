//! bcs-check with a real ZooKeeper. One program: the black-box harness mostly waits, and the others run beside it.

mod faults;
mod harness;
mod model;
