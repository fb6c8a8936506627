//! The values templates work on: JSON with its order kept, and objects with methods.

use std::fmt::Write as _;
use std::rc::Rc;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// A row of a table: fields by name, some of which take arguments (`.Label "x"`).
pub(crate) trait Object {
    /// The field or method; `None` when there is none of this name.
    fn field(&self, name: &str, args: &[Value]) -> Option<Value>;
    /// All plain fields, for `json`.
    fn fields(&self) -> &'static [&'static str];
    /// The name of the type in error messages.
    fn type_name(&self) -> &'static str;
}

/// A value.
#[derive(Clone)]
pub(crate) enum Value {
    /// JSON's null.
    Nil,
    /// A key that is not there.
    Missing,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text(String),
    List(Vec<Value>),
    /// An object with fixed fields: missing ones are mistakes, and it prints as `{a b}`.
    Struct(Vec<(String, Value)>),
    /// An object with free keys: it prints as `map[k:v]`, sorted.
    Map(Vec<(String, Value)>),
    Object(Rc<dyn Object>),
}

impl Value {
    /// A text value.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Whether `if` takes it for true.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Nil | Self::Missing => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Uint(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Map(entries) => !entries.is_empty(),
            Self::Struct(_) | Self::Object(_) => true,
        }
    }

    /// Looks an entry up by its key.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Self::Struct(entries) | Self::Map(entries) => {
                entries.iter().find(|(name, _)| name == key).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// Looks a field up as Go does: by its JSON name or its Go name, which differ in case (`Id`).
    pub(super) fn get_field(&self, name: &str) -> Option<&Value> {
        let Self::Struct(entries) = self else { return None };
        self.get(name).or_else(|| {
            entries.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        })
    }

    /// A text entry, empty when there is none.
    pub(crate) fn str(&self, key: &str) -> &str {
        match self.get(key) {
            Some(Self::Text(text)) => text,
            _ => "",
        }
    }

    /// Prints the value as Go's `%v` does.
    pub(super) fn print(&self, out: &mut String) {
        match self {
            Self::Nil => out.push_str("<nil>"),
            Self::Missing => out.push_str("<no value>"),
            Self::Bool(value) => drop(write!(out, "{value}")),
            Self::Int(value) => drop(write!(out, "{value}")),
            Self::Uint(value) => drop(write!(out, "{value}")),
            Self::Float(value) => out.push_str(&print_float(*value)),
            Self::Text(text) => out.push_str(text),
            Self::List(items) => {
                out.push('[');
                print_joined(items.iter(), out, Value::print);
                out.push(']');
            }
            Self::Struct(entries) => {
                out.push('{');
                print_joined(entries.iter(), out, |(_, value), out| value.print(out));
                out.push('}');
            }
            Self::Map(entries) => {
                let mut sorted: Vec<_> = entries.iter().collect();
                sorted.sort_by(|a, b| a.0.cmp(&b.0));
                out.push_str("map[");
                print_joined(sorted.into_iter(), out, |(key, value), out| {
                    out.push_str(key);
                    out.push(':');
                    value.print(out);
                });
                out.push(']');
            }
            Self::Object(object) => {
                out.push('{');
                let values = object.fields().iter().filter_map(|name| object.field(name, &[]));
                print_joined(values, out, |value, out| value.print(out));
                out.push('}');
            }
        }
    }

    /// The printed value.
    pub(crate) fn printed(&self) -> String {
        let mut out = String::new();
        self.print(&mut out);
        out
    }
}

fn print_joined<T>(items: impl Iterator<Item = T>, out: &mut String, print: fn(T, &mut String)) {
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(' ');
        }
        print(item, out);
    }
}

/// Go switches to an exponent for very large and very small numbers.
fn print_float(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e21).contains(&size) {
        let text = format!("{value:e}");
        if let Some((mantissa, exponent)) = text.split_once('e') {
            let exponent: i32 = exponent.parse().unwrap_or(0);
            let sign = if exponent < 0 { '-' } else { '+' };
            return format!("{mantissa}e{sign}{:02}", exponent.abs());
        }
    }
    format!("{value}")
}

/// The name of a value's type in error messages.
pub(crate) fn kind_name(value: &Value) -> &'static str {
    match value {
        Value::Nil | Value::Missing => "nil",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Uint(_) => "uint",
        Value::Float(_) => "float64",
        Value::Text(_) => "string",
        Value::List(_) => "[]interface {}",
        Value::Struct(_) | Value::Map(_) => "map[string]interface {}",
        Value::Object(object) => object.type_name(),
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nil | Self::Missing => serializer.serialize_none(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Uint(value) => serializer.serialize_u64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => serializer.collect_seq(items),
            Self::Struct(entries) | Self::Map(entries) => {
                serializer.collect_map(entries.iter().map(|(key, value)| (key, value)))
            }
            Self::Object(object) => {
                // Go marshals rows through a map, which sorts.
                let mut names = object.fields().to_vec();
                names.sort_unstable();
                let mut map = serializer.serialize_map(None)?;
                for name in names {
                    if let Some(value) = object.field(name, &[]) {
                        map.serialize_entry(name, &value)?;
                    }
                }
                map.end()
            }
        }
    }
}

/// Keys whose objects have free keys. All others are fixed structs in Docker's API.
const MAPS: [&str; 27] = [
    "Annotations",
    "Attributes",
    "AuxiliaryAddresses",
    "Containers",
    "Data",
    "Details",
    "DriverOpts",
    "ExposedPorts",
    "IndexConfigs",
    "Labels",
    "Networks",
    "Options",
    "PortBindings",
    "Ports",
    "Runtimes",
    "StorageOpt",
    "Sysctls",
    "Tmpfs",
    "Volumes",
    "annotations",
    "stats",
    "networks",
    "status",
    "UsageData",
    "Metadata",
    "KernelMemoryTCP",
    "Attachments",
];

/// The zero value of a field that the daemon leaves out when it is zero.
pub(super) fn absent(name: &str) -> Option<Value> {
    const NIL: [&str; 9] = [
        "Health",
        "Healthcheck",
        "SizeRw",
        "SizeRootFs",
        "StopTimeout",
        "Init",
        "BindOptions",
        "VolumeOptions",
        "TmpfsOptions",
    ];
    const EMPTY: [&str; 12] = [
        "StopSignal",
        "MacAddress",
        "Runtime",
        "Comment",
        "Author",
        "DockerVersion",
        "Parent",
        "Variant",
        "OsVersion",
        "CreatedAt",
        "CgroupVersion",
        "ProductLicense",
    ];
    const NO_ENTRIES: [&str; 5] = ["ExposedPorts", "Sysctls", "StorageOpt", "Tmpfs", "Annotations"];
    const NO_ITEMS: [&str; 4] = ["OnBuild", "Shell", "DefaultAddressPools", "DiscoveredDevices"];
    if NIL.contains(&name) {
        Some(Value::Nil)
    } else if EMPTY.contains(&name) {
        Some(Value::Text(String::new()))
    } else if NO_ENTRIES.contains(&name) {
        Some(Value::Map(Vec::new()))
    } else if NO_ITEMS.contains(&name) {
        Some(Value::List(Vec::new()))
    } else {
        None
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut value = deserializer.deserialize_any(Json)?;
        mark_maps(&mut value, "");
        Ok(value)
    }
}

/// Turns the objects under well-known keys into maps.
fn mark_maps(value: &mut Value, key: &str) {
    match value {
        Value::List(items) => items.iter_mut().for_each(|item| mark_maps(item, "")),
        Value::Struct(entries) => {
            for (name, inner) in entries.iter_mut() {
                let name = if key == "LogConfig" && name == "Config" { "Labels" } else { name };
                mark_maps(inner, name);
            }
            if MAPS.contains(&key) {
                *value = Value::Map(std::mem::take(entries));
            }
        }
        _ => {}
    }
}

/// Reads any JSON. Nested values go through here and not through `Value`, so that marking runs once.
struct Json;

impl<'de> de::DeserializeSeed<'de> for Json {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Json {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Uint(value), Value::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Json)? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            entries.push((key, map.next_value_seed(Json)?));
        }
        Ok(Value::Struct(entries))
    }
}
