//! Which rpc an HTTP request means, and its request message.

use crate::query::{self, put_variable};
use crate::{Field, METHODS, Method, Segment};

/// What a method and a path mean.
#[derive(Debug)]
pub enum Routed {
    /// This call.
    Call(Call),
    /// The path is known, with other methods; these.
    OtherVerb(Vec<Call>),
    /// The path is unknown.
    Nothing,
}

/// An rpc with the variables of its path.
#[derive(Debug)]
pub struct Call {
    /// The rpc.
    pub method: &'static Method,
    variables: Vec<(&'static Field, String)>,
}

impl Call {
    /// Appends the variables to a request: they win over what was there.
    pub fn put_variables(&self, out: &mut Vec<u8>) {
        for (field, value) in &self.variables {
            put_variable(field, value, out);
        }
    }

    /// The request of a call that has no body.
    ///
    /// # Errors
    /// As [`query::read`].
    pub fn from_query(&self, query: &str) -> Result<Vec<u8>, crate::JsonError> {
        let mut request = Vec::new();
        if self.method.reads_query() {
            query::read(self.method, query, &mut request)?;
        }
        self.put_variables(&mut request);
        Ok(request)
    }
}

/// Finds the call of a percent-decoded path. A variable takes any text without `/`, also an empty one or one with `:`.
pub fn find(verb: &str, path: &str) -> Routed {
    let mut others = Vec::new();
    for method in METHODS {
        if let Some(variables) = matched(method.segments, path) {
            let call = Call { method, variables };
            if method.verb == verb {
                return Routed::Call(call);
            }
            others.push(call);
        }
    }
    if others.is_empty() { Routed::Nothing } else { Routed::OtherVerb(others) }
}

fn matched(segments: &'static [Segment], path: &str) -> Option<Vec<(&'static Field, String)>> {
    let mut parts = path.strip_prefix('/')?.split('/');
    let mut variables = Vec::new();
    for segment in segments {
        let part = parts.next()?;
        match segment {
            Segment::Literal(text) if *text == part => {}
            Segment::Literal(_) => return None,
            Segment::Variable(field) => variables.push((*field, part.to_owned())),
        }
    }
    parts.next().is_none().then_some(variables)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::messages::{CreateNamespaceReq, GetClusterReq};

    fn call(verb: &str, path: &str) -> Call {
        match find(verb, path) {
            Routed::Call(call) => call,
            other => panic!("{verb} {path}: {other:?}"),
        }
    }

    #[test]
    fn every_method_is_found_by_its_template() {
        for method in METHODS {
            let found = call(method.verb, &method.path.replace(['{', '}'], ""));
            assert_eq!(found.method.rpc, method.rpc);
        }
    }

    #[test]
    fn variables_are_any_text_of_one_part() {
        let key = call("GET", "/clustermanager/v1/clustercredential/a:b c").from_query("%zz").unwrap();
        assert_eq!(key, b"\x0a\x05a:b c");
        let mut request = CreateNamespaceReq { name: "body".into(), ..Default::default() }.encode_to_vec();
        call("POST", "/clustermanager/v1/namespace/f/").put_variables(&mut request);
        let request = CreateNamespaceReq::decode(request.as_slice()).unwrap();
        assert_eq!((request.federation_cluster_id.as_str(), request.name.as_str()), ("f", ""));
        let get = call("GET", "/clustermanager/v1/cluster/x").from_query("").unwrap();
        assert_eq!(GetClusterReq::decode(get.as_slice()).unwrap().cluster_id, "x");
    }

    #[test]
    fn other_paths_and_verbs() {
        assert!(matches!(find("GET", "/"), Routed::Nothing));
        assert!(matches!(find("GET", "/clustermanager/v1/cluster/a/b"), Routed::Nothing));
        assert!(matches!(find("GET", "/clustermanager/v1/clusters"), Routed::Nothing));
        let Routed::OtherVerb(calls) = find("PATCH", "/clustermanager/v1/cluster/ab") else { panic!() };
        assert_eq!(calls.iter().map(|call| call.method.verb).collect::<Vec<_>>(), ["POST", "PUT", "DELETE", "GET"]);
    }
}
