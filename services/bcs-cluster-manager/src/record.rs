//! Documents as messages and the other way round.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bcs_docstore::{Bson, Document};
use bcs_proto::messages::{Cluster, ClusterCredential, Namespace, ResourceQuota};
use chrono::{DateTime, Datelike, Timelike, Utc};

/// The field as text; empty if it is missing or of another type.
pub(crate) fn text(document: &mut Document, field: &str) -> String {
    match document.get_mut(field) {
        Some(Bson::String(text)) => std::mem::take(text),
        _ => String::new(),
    }
}

/// The field as a map of texts.
pub(crate) fn labels(document: &mut Document, field: &str) -> BTreeMap<String, String> {
    let Some(Bson::Document(labels)) = document.remove(field) else { return BTreeMap::new() };
    labels
        .into_iter()
        .filter_map(|(key, value)| match value {
            Bson::String(value) => Some((key, value)),
            _ => None,
        })
        .collect()
}

fn texts(document: &mut Document, field: &str) -> Vec<String> {
    let Some(Bson::Array(values)) = document.remove(field) else { return Vec::new() };
    let text = |value| if let Bson::String(text) = value { Some(text) } else { None };
    values.into_iter().filter_map(text).collect()
}

/// The date in the field as Go prints it: `2021-06-02 03:21:45.123 +0000 UTC`, the fraction without trailing zeros.
fn time(document: &Document, field: &str) -> String {
    let Some(Bson::DateTime(time)) = document.get(field) else { return String::new() };
    time_text(time.timestamp_millis())
}

fn time_text(millis: i64) -> String {
    let Some(time) = DateTime::<Utc>::from_timestamp_millis(millis) else { return String::new() };
    let mut out = String::with_capacity(34);
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        time.year(),
        time.month(),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    );
    let fraction = millis.rem_euclid(1000);
    if fraction != 0 {
        let _ = write!(out, ".{fraction:03}");
        out.truncate(out.trim_end_matches('0').len());
    }
    out.push_str(" +0000 UTC");
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

pub(crate) fn cluster(mut document: Document) -> Cluster {
    let it = &mut document;
    Cluster {
        cluster_id: text(it, "clusterID"),
        cluster_name: text(it, "clusterName"),
        federation_cluster_id: text(it, "federationClusterID"),
        provider: text(it, "provider"),
        region: text(it, "region"),
        vpc_id: text(it, "vpcID"),
        project_id: text(it, "projectID"),
        business_id: text(it, "businessID"),
        environment: text(it, "environment"),
        engine_type: text(it, "engineType"),
        is_exclusive: it.get_bool("isExclusive").unwrap_or_default(),
        cluster_type: text(it, "clusterType"),
        labels: labels(it, "labels"),
        operators: texts(it, "operators"),
        create_time: time(it, "createTime"),
        update_time: time(it, "updateTime"),
    }
}

pub(crate) fn credential(mut document: Document) -> ClusterCredential {
    let it = &mut document;
    ClusterCredential {
        server_key: text(it, "serverKey"),
        cluster_id: text(it, "clusterID"),
        client_module: text(it, "clientModule"),
        server_address: text(it, "serverAddress"),
        ca_cert_data: text(it, "caCertData"),
        user_token: text(it, "userToken"),
        cluster_domain: text(it, "clusterDomain"),
        connect_mode: text(it, "connectMode"),
        create_time: time(it, "createTime"),
        update_time: time(it, "updateTime"),
    }
}

/// Without its quotas.
pub(crate) fn namespace(mut document: Document) -> Namespace {
    let it = &mut document;
    Namespace {
        name: text(it, "name"),
        federation_cluster_id: text(it, "federationClusterID"),
        project_id: text(it, "projectID"),
        business_id: text(it, "businessID"),
        labels: labels(it, "labels"),
        max_quota: text(it, "maxQuota"),
        create_time: time(it, "createTime"),
        update_time: time(it, "updateTime"),
        quota_list: Vec::new(),
    }
}

pub(crate) fn quota(mut document: Document) -> ResourceQuota {
    let it = &mut document;
    ResourceQuota {
        namespace: text(it, "namespace"),
        federation_cluster_id: text(it, "federationClusterID"),
        cluster_id: text(it, "clusterID"),
        resource_quota: text(it, "resourceQuota"),
        create_time: time(it, "createTime"),
        update_time: time(it, "updateTime"),
    }
}

#[cfg(test)]
mod tests {
    use bcs_docstore::doc;

    use super::*;

    #[test]
    fn times_are_printed_as_by_go() {
        assert_eq!(time_text(-62_135_596_800_000), "0001-01-01 00:00:00 +0000 UTC");
        assert_eq!(time_text(1_622_604_105_123), "2021-06-02 03:21:45.123 +0000 UTC");
        assert_eq!(time_text(1_622_604_105_330), "2021-06-02 03:21:45.33 +0000 UTC");
        assert_eq!(time_text(1_622_604_105_000), "2021-06-02 03:21:45 +0000 UTC");
    }

    #[test]
    fn a_document_of_the_original_is_read() {
        let document = doc! {
            "clusterID": "c", "isExclusive": true, "labels": { "a.b/c": "1", "": "2" }, "operators": ["x", "y"], "token": ""
        };
        let cluster = cluster(document);
        assert_eq!((cluster.cluster_id.as_str(), cluster.is_exclusive), ("c", true));
        assert_eq!(cluster.labels["a.b/c"], "1");
        assert_eq!(cluster.operators, ["x", "y"]);
        assert_eq!((cluster.create_time.as_str(), cluster.provider.as_str()), ("", ""));
    }

    #[test]
    fn only_given_fields_filter() {
        assert_eq!(given([("a", "1".into()), ("b", String::new())]), doc! { "a": "1" });
    }
}
