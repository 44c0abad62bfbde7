//! What the tables hold.

use crate::Rpc;

/// The service, as the last part of its name in gRPC paths.
pub const CLUSTER_MANAGER: &str = "ClusterManager";

/// A message.
#[derive(Debug)]
pub struct Message {
    /// With its package: `clustermanager.Cluster`.
    pub name: &'static str,
    /// As Go calls its type; parents of nested messages stay, joined by `_`.
    pub short_name: &'static str,
    /// In the order of declaration.
    pub fields: &'static [Field],
}

/// A field of a message.
#[derive(Debug)]
pub struct Field {
    /// Its name, in JSON too.
    pub name: &'static str,
    /// The name as JSON is written with it: in quotes and with its colon.
    pub json_key: &'static str,
    /// Its number on the wire.
    pub number: u32,
    /// Its type.
    pub shape: Shape,
    /// Which values are refused.
    pub rules: Rules,
}

/// The types that the contract uses.
#[derive(Debug)]
pub enum Shape {
    /// `string`.
    Text,
    /// `bool`.
    Bool,
    /// `uint64`.
    Uint64,
    /// A message.
    Message(&'static Message),
    /// `repeated string`.
    TextList,
    /// A repeated message.
    MessageList(&'static Message),
    /// `map<string, string>`.
    TextMap,
}

/// Which values of a field are refused.
#[derive(Debug)]
pub enum Rules {
    /// None.
    None,
    /// Of a text: too short or long ones, then those with other characters.
    Text(Length, Option<Pattern>),
    /// Of a number: greater ones.
    AtMost(u64),
    /// Of a list: longer ones.
    Items(u64),
    /// Of a map: larger ones.
    Pairs(u64),
}

/// A length in code points.
#[derive(Debug)]
pub enum Length {
    /// Up to this.
    AtMost(u64),
    /// From the first to the second, both included.
    Between(u64, u64),
}

/// One or more of some characters.
#[derive(Debug)]
pub struct Pattern {
    /// The regular expression, for messages.
    pub text: &'static str,
    /// Ranges of the characters, ends included.
    pub allowed: &'static [(u8, u8)],
}

/// An rpc and its route.
#[derive(Debug)]
pub struct Method {
    /// Which one.
    pub rpc: Rpc,
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub request: &'static Message,
    /// What it gives.
    pub response: &'static Message,
    /// The HTTP method.
    pub verb: &'static str,
    /// The path template: `/clustermanager/v1/cluster/{clusterID}`.
    pub path: &'static str,
    /// The template in parts.
    pub segments: &'static [Segment],
    /// The HTTP body is the message; else there is none and the query gives the fields that are not in the path.
    pub whole_body: bool,
}

/// A part of a path.
#[derive(Debug)]
pub enum Segment {
    /// Just this.
    Literal(&'static str),
    /// Any text, the value of this field of the request.
    Variable(&'static Field),
}

impl Method {
    /// The rpc of that name.
    pub fn named(name: &str) -> Option<&'static Method> {
        crate::METHODS.iter().find(|method| method.name == name)
    }

    /// Whether the query string is read: where some field is neither in the path nor in a body.
    pub fn reads_query(&self) -> bool {
        !self.whole_body && self.request.fields.iter().any(|field| !self.in_path(field))
    }

    /// Whether the path gives this field.
    pub fn in_path(&self, field: &Field) -> bool {
        self.segments.iter().any(|segment| matches!(segment, Segment::Variable(it) if it.number == field.number))
    }
}
