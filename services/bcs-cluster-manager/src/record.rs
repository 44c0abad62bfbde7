//! Documents as messages and the other way round.

use std::collections::BTreeMap;

use bcs_docstore::time::write_clock;
use bcs_docstore::{Bson, Document, FieldRef, Fields};
use bcs_proto::messages::{Cluster, ClusterCredential, Namespace, ResourceQuota};
use bcs_proto::wire::{put_bytes, put_number, put_pair, put_text};
use bcs_proto::{Field, Message, Shape};

/// What is no text, or no document, counts as nothing.
fn labels(value: Bson) -> BTreeMap<String, String> {
    let Bson::Document(labels) = value else { return BTreeMap::new() };
    let text = |(key, value)| if let Bson::String(value) = value { Some((key, value)) } else { None };
    labels.into_iter().filter_map(text).collect()
}

fn texts(value: Bson) -> Vec<String> {
    let Bson::Array(values) = value else { return Vec::new() };
    let text = |value| if let Bson::String(text) = value { Some(text) } else { None };
    values.into_iter().filter_map(text).collect()
}

fn text(value: Bson) -> String {
    if let Bson::String(text) = value { text } else { String::new() }
}

/// The date as Go prints it: `2021-06-02 03:21:45.123 +0000 UTC`, the fraction without trailing zeros.
fn time(value: Bson) -> String {
    let Bson::DateTime(time) = value else { return String::new() };
    String::from_utf8_lossy(&time_text(time.timestamp_millis())).into_owned()
}

fn time_text(millis: i64) -> Vec<u8> {
    let mut out = Vec::with_capacity(34);
    write_clock(millis, b' ', &mut out);
    out.extend_from_slice(b" +0000 UTC");
    out
}

/// A map of texts as a document.
pub(crate) fn labels_document(labels: BTreeMap<String, String>) -> Document {
    labels.into_iter().map(|(key, value)| (key, Bson::String(value))).collect()
}

/// The fields of a list request that are not empty, as the filter they mean.
pub(crate) fn given<const N: usize>(fields: [(&str, String); N]) -> Document {
    let given = fields.into_iter().filter(|(_, value)| !value.is_empty());
    given.map(|(field, value)| (field.to_owned(), Bson::String(value))).collect()
}

/// A field of another type than its message has is empty there.
pub(crate) fn cluster(fields: Fields) -> Cluster {
    let mut it = Cluster::default();
    for (field, value) in fields {
        match field.as_ref() {
            "clusterID" => it.cluster_id = text(value),
            "clusterName" => it.cluster_name = text(value),
            "federationClusterID" => it.federation_cluster_id = text(value),
            "provider" => it.provider = text(value),
            "region" => it.region = text(value),
            "vpcID" => it.vpc_id = text(value),
            "projectID" => it.project_id = text(value),
            "businessID" => it.business_id = text(value),
            "environment" => it.environment = text(value),
            "engineType" => it.engine_type = text(value),
            "isExclusive" => it.is_exclusive = value.as_bool().unwrap_or_default(),
            "clusterType" => it.cluster_type = text(value),
            "labels" => it.labels = labels(value),
            "operators" => it.operators = texts(value),
            "createTime" => it.create_time = time(value),
            "updateTime" => it.update_time = time(value),
            _ => {}
        }
    }
    it
}

pub(crate) fn credential(fields: Fields) -> ClusterCredential {
    let mut it = ClusterCredential::default();
    for (field, value) in fields {
        match field.as_ref() {
            "serverKey" => it.server_key = text(value),
            "clusterID" => it.cluster_id = text(value),
            "clientModule" => it.client_module = text(value),
            "serverAddress" => it.server_address = text(value),
            "caCertData" => it.ca_cert_data = text(value),
            "userToken" => it.user_token = text(value),
            "clusterDomain" => it.cluster_domain = text(value),
            "connectMode" => it.connect_mode = text(value),
            "createTime" => it.create_time = time(value),
            "updateTime" => it.update_time = time(value),
            _ => {}
        }
    }
    it
}

/// Without its quotas.
pub(crate) fn namespace(fields: Fields) -> Namespace {
    let mut it = Namespace::default();
    for (field, value) in fields {
        match field.as_ref() {
            "name" => it.name = text(value),
            "federationClusterID" => it.federation_cluster_id = text(value),
            "projectID" => it.project_id = text(value),
            "businessID" => it.business_id = text(value),
            "labels" => it.labels = labels(value),
            "maxQuota" => it.max_quota = text(value),
            "createTime" => it.create_time = time(value),
            "updateTime" => it.update_time = time(value),
            _ => {}
        }
    }
    it
}

pub(crate) fn quota(fields: Fields) -> ResourceQuota {
    let mut it = ResourceQuota::default();
    for (field, value) in fields {
        match field.as_ref() {
            "namespace" => it.namespace = text(value),
            "federationClusterID" => it.federation_cluster_id = text(value),
            "clusterID" => it.cluster_id = text(value),
            "resourceQuota" => it.resource_quota = text(value),
            "createTime" => it.create_time = time(value),
            "updateTime" => it.update_time = time(value),
            _ => {}
        }
    }
    it
}

/// The number of the field `data` in the answers to all lists.
const DATA: u32 = 4;

/// Appends a document to the list `data` of an answer: what it has of the fields of `message`, as by the functions above
/// and without a copy of it in between.
pub(crate) fn put_element(message: &Message, document: &[(&str, FieldRef<'_>)], out: &mut Vec<u8>) {
    let mut element = Vec::with_capacity(512);
    let mut next = 0;
    for field in message.fields {
        // Documents have their fields in nearly the order of the message: the look begins behind the one found last.
        let (before, behind) = document.split_at(next.min(document.len()));
        let found = behind.iter().chain(before).position(|(name, _)| *name == field.name);
        let Some(index) = found.map(|steps| (next + steps) % document.len()) else { continue };
        if let Some((_, value)) = document.get(index) {
            put_field(field, value, &mut element);
        }
        next = index + 1;
    }
    put_bytes(DATA, &element, out);
}

fn put_field(field: &Field, value: &FieldRef<'_>, out: &mut Vec<u8>) {
    let is_time = matches!(field.name, "createTime" | "updateTime");
    match (&field.shape, value) {
        (Shape::Text, FieldRef::Time(millis)) if is_time => put_bytes(field.number, &time_text(*millis), out),
        (Shape::Text, FieldRef::Text(text)) if !is_time => put_text(field, text, out),
        (Shape::Bool, FieldRef::Bool(value)) => put_number(field, u64::from(*value), out),
        (Shape::TextMap, FieldRef::Other(Bson::Document(pairs))) => {
            let pairs = pairs.iter().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
            for (key, value) in BTreeMap::from_iter(pairs) {
                put_pair(field, key, value, out);
            }
        }
        (Shape::TextList, FieldRef::Other(Bson::Array(texts))) => {
            texts.iter().filter_map(Bson::as_str).for_each(|text| put_bytes(field.number, text.as_bytes(), out));
        }
        _ => {}
    }
}

/// An entry of a pool of CIDRs.
#[derive(Debug, Default)]
pub(crate) struct Cidr {
    pub vpc: String,
    pub cidr: String,
    pub ip_number: i64,
    pub status: String,
}

pub(crate) fn cidr(fields: Fields) -> Cidr {
    let mut it = Cidr::default();
    for (field, value) in fields {
        match (field.as_ref(), value) {
            ("ipNumber", Bson::Int64(number)) => it.ip_number = number,
            ("ipNumber", Bson::Int32(number)) => it.ip_number = number.into(),
            ("vpc", value) => it.vpc = text(value),
            ("cidr", value) => it.cidr = text(value),
            ("status", value) => it.status = text(value),
            _ => {}
        }
    }
    it
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use bcs_docstore::doc;
    use bcs_proto::messages::{ListClusterCredentialResp, ListClusterResp};
    use bcs_proto::tables::{CLUSTER, CLUSTER_CREDENTIAL};
    use prost::Message as _;

    use super::*;

    /// The list `data` of these documents by [`put_element`].
    fn elements(message: &Message, documents: &[Document]) -> Vec<u8> {
        documents.iter().fold(Vec::new(), |mut out, document| {
            let fields: Vec<_> = document.iter().map(|(field, value)| (field.as_str(), value.into())).collect();
            put_element(message, &fields, &mut out);
            out
        })
    }

    fn fields(document: &Document) -> Fields {
        document.clone().into_iter().map(|(field, value)| (Cow::Owned(field), value)).collect()
    }

    #[test]
    fn an_element_is_the_encoded_message_of_its_document() {
        let time = bson::DateTime::from_millis(1_622_604_105_330);
        let documents = [
            doc! {},
            doc! {
                "_id": 1, "clusterID": "c", "clusterName": "日本", "federationClusterID": "", "provider": "p", "token": "t",
                "clusterType": "single", "createTime": time, "updateTime": time, "isExclusive": true,
                "labels": { "z": "1", "a": "", "": "e", "n": 5 }, "operators": ["o", "", 7],
            },
            // In another order, and of other types.
            doc! {
                "updateTime": "yesterday", "createTime": 5, "labels": ["a"], "operators": { "a": "b" }, "isExclusive": "yes",
                "region": time, "clusterName": null, "clusterID": "last",
            },
            doc! { "labels": {}, "operators": [], "isExclusive": false },
        ];
        let data = documents.iter().map(|document| cluster(fields(document))).collect();
        let typed = ListClusterResp { data, ..ListClusterResp::default() }.encode_to_vec();
        assert_eq!(elements(&CLUSTER, &documents), typed);

        let credentials =
            [doc! { "serverKey": "k", "caCertData": "ca\n", "connectMode": "direct", "updateTime": time }];
        let data = credentials.iter().map(|document| credential(fields(document))).collect();
        let typed = ListClusterCredentialResp { data, ..ListClusterCredentialResp::default() }.encode_to_vec();
        assert_eq!(elements(&CLUSTER_CREDENTIAL, &credentials), typed);
    }

    #[test]
    fn times_are_printed_as_by_go() {
        assert_eq!(time_text(-62_135_596_800_000), b"0001-01-01 00:00:00 +0000 UTC");
        assert_eq!(time_text(1_622_604_105_123), b"2021-06-02 03:21:45.123 +0000 UTC");
        assert_eq!(time_text(1_622_604_105_330), b"2021-06-02 03:21:45.33 +0000 UTC");
        assert_eq!(time_text(1_622_604_105_000), b"2021-06-02 03:21:45 +0000 UTC");
        assert_eq!(time_text(1_609_459_200_007), b"2021-01-01 00:00:00.007 +0000 UTC");
        assert_eq!(time_text(253_402_300_800_000), b"10000-01-01 00:00:00 +0000 UTC");
        assert_eq!(time_text(-1), b"1969-12-31 23:59:59.999 +0000 UTC");
    }

    #[test]
    fn a_document_of_the_original_is_read() {
        let document = doc! {
            "clusterID": "c", "isExclusive": true, "labels": { "a.b/c": "1", "": "2" }, "operators": ["x", "y"], "token": "",
            "region": 5
        };
        let cluster = cluster(document.into_iter().map(|(field, value)| (field.into(), value)).collect());
        assert_eq!((cluster.cluster_id.as_str(), cluster.is_exclusive), ("c", true));
        assert_eq!(cluster.labels["a.b/c"], "1");
        assert_eq!(cluster.operators, ["x", "y"]);
        assert_eq!((cluster.create_time.as_str(), cluster.region.as_str()), ("", ""));
    }

    #[test]
    fn only_given_fields_filter() {
        assert_eq!(given([("a", "1".into()), ("b", String::new())]), doc! { "a": "1" });
    }
}
