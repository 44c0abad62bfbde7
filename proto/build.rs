//! Compiles the contract without protoc: the messages as Rust types, and tables of what the transcoder, the checks, the
//! registration and the API description need to know about them.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use prost_reflect::{
    Cardinality, DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, Value,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

const CONTRACT: &str = "clustermanager.proto";
const PACKAGE: &str = "clustermanager";

fn main() -> Outcome<()> {
    println!("cargo::rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).open_file(CONTRACT)?;
    // Sorted maps: JSON members of a map are sorted too.
    prost_build::Config::new().btree_map(["."]).compile_fds(compiler.file_descriptor_set())?;
    let pool = compiler.descriptor_pool();
    let extension = |name: &str| pool.get_extension_by_name(name).ok_or_else(|| format!("no extension {name}"));
    let tables = Tables { http: extension("google.api.http")?, rules: extension("validate.rules")? };
    let mut out = String::new();
    for message in pool.all_messages().filter(|it| it.package_name() == PACKAGE && !it.is_map_entry()) {
        tables.message(&message, &mut out)?;
    }
    let service = pool.services().find(|it| it.package_name() == PACKAGE).ok_or("no service")?;
    tables.methods(&service.methods().collect::<Vec<_>>(), &mut out)?;
    let directory = std::env::var("OUT_DIR")?;
    std::fs::write(Path::new(&directory).join("tables.rs"), out)?;
    Ok(())
}

struct Tables {
    http: ExtensionDescriptor,
    rules: ExtensionDescriptor,
}

impl Tables {
    fn message(&self, message: &MessageDescriptor, out: &mut String) -> Outcome<()> {
        writeln!(out, "/// The table of `{}`.", message.full_name())?;
        writeln!(out, "pub static {}: Message = Message {{", constant(message))?;
        writeln!(
            out,
            "    name: {:?},\n    short_name: {:?},\n    fields: &[",
            message.full_name(),
            short_name(message)
        )?;
        // `fields()` is sorted by number; the order of declaration is the one that counts.
        for (index, declared) in message.descriptor_proto().field.iter().enumerate() {
            let number = u32::try_from(declared.number())?;
            let field = message.get_field(number).ok_or_else(|| format!("no field {index}"))?;
            self.field(&field, out)?;
        }
        writeln!(out, "    ],\n}};")?;
        Ok(())
    }

    fn field(&self, field: &FieldDescriptor, out: &mut String) -> Outcome<()> {
        let (name, number) = (field.name(), field.number());
        let shape = shape(field)?;
        let rules = self.rules(field)?;
        let json_key = format!("\"{name}\":");
        writeln!(
            out,
            "        Field {{ name: {name:?}, json_key: {json_key:?}, number: {number}, shape: {shape}, rules: {rules} }},"
        )?;
        Ok(())
    }

    /// The checks of a field as an expression.
    fn rules(&self, field: &FieldDescriptor) -> Outcome<String> {
        let options = field.options();
        if !options.has_extension(&self.rules) {
            return Ok("Rules::None".to_owned());
        }
        let rules = options.get_extension(&self.rules);
        let rules = rules.as_message().ok_or("rules are no message")?;
        let number = |of: &DynamicMessage, name: &str| -> Option<u64> {
            of.has_field_by_name(name).then(|| of.get_field_by_name(name)?.as_u64()).flatten()
        };
        let (kind, value) = rules.fields().next().ok_or_else(|| format!("{} has empty rules", field.full_name()))?;
        let value = value.as_message().ok_or("a rule is no message")?;
        Ok(match kind.name() {
            "string" => {
                let pattern = value.get_field_by_name("pattern");
                let pattern = pattern.as_deref().and_then(Value::as_str).unwrap_or_default();
                let pattern = match pattern {
                    "" => "None".to_owned(),
                    text => format!("Some(Pattern {{ text: {text:?}, allowed: &{:?} }})", character_class(text)?),
                };
                let length = match (number(value, "min_len"), number(value, "max_len")) {
                    (None, Some(max)) => format!("Length::AtMost({max})"),
                    (Some(min), Some(max)) => format!("Length::Between({min}, {max})"),
                    _ => return Err(format!("{}: a length needs a maximum", field.full_name()).into()),
                };
                format!("Rules::Text({length}, {pattern})")
            }
            "uint64" => format!("Rules::AtMost({})", number(value, "lte").ok_or("uint64 needs lte")?),
            "repeated" => format!("Rules::Items({})", number(value, "max_items").ok_or("repeated needs max_items")?),
            "map" => format!("Rules::Pairs({})", number(value, "max_pairs").ok_or("map needs max_pairs")?),
            other => return Err(format!("{}: rule {other} is not supported", field.full_name()).into()),
        })
    }

    fn methods(&self, methods: &[MethodDescriptor], out: &mut String) -> Outcome<()> {
        writeln!(out, "/// The rpcs, in the order of the contract.")?;
        writeln!(out, "#[derive(Clone, Copy, Debug, PartialEq, Eq)]\npub enum Rpc {{")?;
        for method in methods {
            writeln!(out, "    /// `{0}`.\n    {0},", method.name())?;
        }
        writeln!(out, "}}\n\n/// All rpcs, in the order of the contract.\npub static METHODS: &[Method] = &[")?;
        for method in methods {
            self.method(method, out)?;
        }
        writeln!(out, "];")?;
        Ok(())
    }

    fn method(&self, method: &MethodDescriptor, out: &mut String) -> Outcome<()> {
        let options = method.options();
        let rule = options.get_extension(&self.http);
        let rule = rule.as_message().ok_or("http is no message")?;
        let verbs = ["get", "put", "post", "delete", "patch"];
        let found = verbs.iter().find(|verb| rule.has_field_by_name(verb)).ok_or("an rpc without a route")?;
        let path = rule.get_field_by_name(found);
        let path = path.as_deref().and_then(Value::as_str).ok_or("a route without a path")?;
        let body = rule.get_field_by_name("body");
        let whole_body = match body.as_deref().and_then(Value::as_str).unwrap_or_default() {
            "*" => true,
            "" => false,
            other => return Err(format!("{}: body {other} is not supported", method.full_name()).into()),
        };
        let input = method.input();
        writeln!(
            out,
            "    Method {{ rpc: Rpc::{0}, name: {0:?}, request: &{1}, response: &{2}, verb: {3:?}, path: {path:?}, \
             segments: &[{4}], whole_body: {whole_body} }},",
            method.name(),
            constant(&input),
            constant(&method.output()),
            found.to_uppercase(),
            segments(path, &input)?,
        )?;
        Ok(())
    }
}

/// `/a/{field}` as expressions.
fn segments(path: &str, input: &MessageDescriptor) -> Outcome<String> {
    let mut out = Vec::new();
    for segment in path.strip_prefix('/').ok_or("a path begins with /")?.split('/') {
        out.push(match segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            None => format!("Segment::Literal({segment:?})"),
            Some(name) => {
                let declared = &input.descriptor_proto().field;
                let index = declared.iter().position(|field| field.name() == name);
                let index = index.ok_or_else(|| format!("{path}: {} has no field {name}", input.name()))?;
                format!("Segment::Variable(&{}.fields[{index}])", constant(input))
            }
        });
    }
    Ok(out.join(", "))
}

fn shape(field: &FieldDescriptor) -> Outcome<String> {
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else { return Err("a map without entries".into()) };
        let texts = entry.fields().all(|part| part.kind() == Kind::String);
        return if texts { Ok("Shape::TextMap".to_owned()) } else { Err("only maps of texts are supported".into()) };
    }
    let list = field.cardinality() == Cardinality::Repeated;
    Ok(match (field.kind(), list) {
        (Kind::String, false) => "Shape::Text".to_owned(),
        (Kind::String, true) => "Shape::TextList".to_owned(),
        (Kind::Bool, false) => "Shape::Bool".to_owned(),
        (Kind::Uint64, false) => "Shape::Uint64".to_owned(),
        (Kind::Message(message), false) => format!("Shape::Message(&{})", constant(&message)),
        (Kind::Message(message), true) => format!("Shape::MessageList(&{})", constant(&message)),
        (kind, _) => return Err(format!("{}: {kind:?} is not supported", field.full_name()).into()),
    })
}

/// The characters of `^[...]+$` as ranges.
fn character_class(pattern: &str) -> Outcome<Vec<(u8, u8)>> {
    let class = pattern.strip_prefix("^[").and_then(|rest| rest.strip_suffix("]+$"));
    let class = class
        .filter(|class| class.is_ascii() && !class.contains(['\\', '^', '[']))
        .ok_or_else(|| format!("{pattern}: only patterns of the form ^[characters]+$ are supported"))?;
    let mut rest = class.as_bytes();
    let mut ranges = Vec::new();
    while let [first, tail @ ..] = rest {
        if let [b'-', last, tail @ ..] = tail {
            ranges.push((*first, *last));
            rest = tail;
        } else {
            ranges.push((*first, *first));
            rest = tail;
        }
    }
    Ok(ranges)
}

/// The name as Go has it: that of the message, behind those it is nested in.
fn short_name(message: &MessageDescriptor) -> String {
    message.full_name().trim_start_matches(PACKAGE).trim_start_matches('.').replace('.', "_")
}

/// `GetClusterReq` becomes `GET_CLUSTER_REQ`.
fn constant(message: &MessageDescriptor) -> String {
    let mut out = String::new();
    for character in short_name(message).chars() {
        if character.is_ascii_uppercase() && !out.is_empty() && !out.ends_with('_') {
            out.push('_');
        }
        out.push(character.to_ascii_uppercase());
    }
    out
}
