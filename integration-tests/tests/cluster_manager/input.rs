//! Bad input: an answer that says so, and a service that lives on (the table of cluster-manager.md 11).

use bcs_integration_tests::http::Client;
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::support::{call, cluster, start};

async fn raw(client: &Client, method: Method, path: &str, content_type: &str, body: &[u8]) -> (u16, String) {
    let request = Request::builder().method(method).uri(path).header("content-type", content_type);
    let response = client.request(request.body(Full::new(Bytes::copy_from_slice(body))).unwrap()).await.unwrap();
    (response.status.as_u16(), response.text())
}

#[tokio::test]
async fn every_row_of_the_table() {
    let service = start(&json!({})).await;
    let client = service.client();
    let json_type = "application/json";
    let path = "/clustermanager/v1/cluster/c1";
    for (body, status) in [(&b"{"[..], 400), (b"[]", 400), (b"{\"clusterName\":5}", 400), (b"", 200), (b"null", 200)] {
        let (got, text) = raw(&client, Method::POST, path, json_type, body).await;
        assert_eq!(got, status, "{text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["code"], if status == 400 { json!(3) } else { json!("1405401") });
    }
    let form = "application/x-www-form-urlencoded";
    let credential = "/clustermanager/v1/clustercredential/c1";
    assert_eq!(raw(&client, Method::POST, credential, form, b"a=b").await, (405, "Method Not Allowed\n".to_owned()));
    assert_eq!(raw(&client, Method::GET, "/clustermanager/v1/cluster?limit=-1", json_type, b"").await.0, 400);
    assert_eq!(raw(&client, Method::GET, "/clustermanager/v1/cluster?x=%zz", json_type, b"").await.0, 400);
    assert_eq!(raw(&client, Method::GET, "/clustermanager/v1/cluster/%zz", json_type, b"").await.1, "400 Bad Request");
    for query in ["a=1;b=2", "region.x=1", "limit[x]=1"] {
        let path = format!("/clustermanager/v1/cluster?{query}");
        assert_eq!(raw(&client, Method::GET, &path, json_type, b"").await.0, 400, "{query}");
    }
    let large = format!("{{\"clusterName\":\"{}\"}}", "x".repeat(5_000_000));
    let (status, text) = raw(&client, Method::POST, path, json_type, large.as_bytes()).await;
    assert!(status == 429 && text.contains("\"code\":8"), "{status} {text}");
    let mut other_id = cluster();
    other_id["clusterID"] = json!("body");
    assert_eq!(call(&client, Method::POST, "cluster/path", &other_id).await["code"], "0");
    assert_eq!(call(&client, Method::GET, "cluster/path", &Value::Null).await["code"], "0");
    assert_eq!(call(&client, Method::GET, "cluster/body", &Value::Null).await["code"], "1405420");
    let quota = json!({"federationClusterID": "path", "resourceQuota": "{}", "clusterID": "path"});
    let refused = call(&client, Method::POST, "namespacewithquota", &quota).await;
    assert_eq!((&refused["code"], &refused["data"]["clusterID"]), (&json!("1405401"), &json!("")));
    // The text of the quota is looked at before the name of the namespace.
    let empty = call(&client, Method::POST, "namespacewithquota", &json!({})).await;
    assert_eq!(empty["message"], "decode resourcequota failed, err unexpected end of JSON input");
    let other = json!({"resourceQuota": "{\"metadata\":{\"name\":\"a\",\"namespace\":\"a\"}}"});
    let other = call(&client, Method::POST, "namespacewithquota", &other).await;
    assert_eq!(other["message"], "resource quota name and namespace should be the name of namespace ");
    for element in [
        json!({}),
        json!({"cidr": 5, "ip_number": 7}),
        json!({"cidr": "a"}),
        json!({"cidr": "a", "ip_number": "7"}),
        json!(1),
    ] {
        let body = json!({"vpc": "v", "tke_cidrs": [element]});
        let response = client.post("/clustermanager/v1/tke/cidr/add_cidr", &body).await.unwrap();
        assert_eq!((response.status, &response.json()["code"]), (StatusCode::BAD_REQUEST, &json!(1_405_401)), "{body}");
    }
    let odd = json!({"clusterID": "c\u{0}\u{fffd}", "clientModule": "kubeagent", "serverAddress": "\u{0}\u{1}"});
    assert_eq!(call(&client, Method::PUT, "clustercredential/%00%ff", &odd).await["code"], "0");
    let back = call(&client, Method::GET, "clustercredential/%00%ff", &Value::Null).await;
    assert_eq!(back["data"]["clusterID"], "c\u{0}\u{fffd}");
    assert_eq!(client.get("/clustermanager/v1/cluster/path").await.unwrap().status, StatusCode::OK);
}

#[tokio::test]
async fn forms_are_queries_of_lists_and_nothing_else() {
    let service = start(&json!({})).await;
    let client = service.client();
    assert_eq!(call(&client, Method::POST, "cluster/c1", &cluster()).await["code"], "0");
    let form = "application/x-www-form-urlencoded";
    let list = "/clustermanager/v1/cluster";
    let send = async |path: &str, content_type: &str, verb: Option<&str>| {
        let mut request = Request::post(path).header("content-type", content_type);
        if let Some(verb) = verb {
            request = request.header("x-http-method-override", verb);
        }
        let body = Full::new(Bytes::from_static(b"region=none&clusterName=x"));
        client.request(request.body(body).unwrap()).await.unwrap()
    };
    assert_eq!(send(list, form, None).await.json()["data"], json!([]));
    // With the header the form is not looked at.
    assert_eq!(send(list, form, Some("get")).await.json()["data"][0]["clusterID"], "c1");
    let update = send("/clustermanager/v1/cluster/c1", form, Some("PUT")).await.json();
    assert_eq!(
        update["message"],
        "invalid UpdateClusterReq.ClusterName: value length must be between 2 and 100 runes, inclusive"
    );
    assert_eq!(send(list, form, Some("")).await.json()["data"], json!([]));
    assert_eq!(send(list, &format!("{form}; charset=utf-8"), None).await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn bodies_of_the_cidr_calls_are_read_as_by_go() {
    let service = start(&json!({})).await;
    let client = service.client();
    // Names in any case, of equal ones the last; what follows the first value is ignored, and a slash at the end.
    let body = br#"{"vpc":"x","VPC":"v1","tke_cidrs":[{"Cidr":"10.0.0.0/24","ip_number":256,"status":5}]} and more"#;
    let path = |call| format!("/clustermanager/v1/tke/cidr/{call}/");
    let (status, text) = raw(&client, Method::POST, &path("add_cidr"), "text/plain", body).await;
    assert_eq!(status, 200, "{text}");
    let (_, counts) = raw(&client, Method::POST, &path("list_count"), "text/plain", b"").await;
    let counts: Value = serde_json::from_str(&counts).unwrap();
    assert_eq!(counts, json!([{"vpc": "v1", "ip_number": 256, "count": 1, "status": "available"}]));
    assert_eq!(raw(&client, Method::GET, &path("add_cidr"), "", b"").await.0, 405);
    assert_eq!(raw(&client, Method::POST, &path("add_cidr/x"), "", b"").await.0, 404);
}

#[tokio::test]
async fn parallel_applications_get_different_cidrs() {
    let service = start(&json!({})).await;
    let client = service.client();
    let entries: Vec<Value> = (0..20).map(|n| json!({"cidr": format!("10.0.{n}.0/24"), "ip_number": 256})).collect();
    let add = json!({"vpc": "v", "tke_cidrs": entries});
    client.post("/clustermanager/v1/tke/cidr/add_cidr", &add).await.unwrap();
    let apply = json!({"vpc": "v", "cluster": "c", "ip_number": 256});
    let applications = (0..20).map(|_| client.post("/clustermanager/v1/tke/cidr/apply_cidr", &apply));
    let mut given: Vec<String> = futures::future::join_all(applications)
        .await
        .into_iter()
        .map(|answer| answer.unwrap().json()["data"]["cidr"].as_str().unwrap().to_owned())
        .collect();
    given.sort();
    given.dedup();
    assert_eq!(given.len(), 20);
}

#[tokio::test]
async fn cidrs_are_added_and_counted_in_xml_too() {
    let service = start(&json!({})).await;
    let client = service.client();
    let body = b"<form><Vpc>v1</Vpc><TkeCidrs><Cidr>10.0.0.0/24</Cidr><IPNumber>256</IPNumber></TkeCidrs></form>";
    let path = |call| format!("/clustermanager/v1/tke/cidr/{call}");
    let (status, text) = raw(&client, Method::POST, &path("add_cidr"), "application/xml", body).await;
    assert_eq!(status, 200, "{text}");
    let request = Request::post(path("list_count")).header("accept", "application/xml").body(Full::default()).unwrap();
    let counts = client.request(request).await.unwrap();
    assert_eq!(counts.headers["content-type"], "application/xml");
    let wanted =
        "<TkeCidrCount><Vpc>v1</Vpc><IPNumber>256</IPNumber><Count>1</Count><Status>available</Status></TkeCidrCount>";
    assert_eq!(counts.text(), wanted);
    let (status, text) = raw(&client, Method::POST, &path("apply_cidr"), "application/xml", b"<form><Vpc>").await;
    assert!(status == 400 && text.contains("'Vpc' is required"), "{status} {text}");
}
