//! A parsed tree to a Rust value, with Go's conversions and its words when a type does not fit.
//!
//! The path in an error ("Go struct field CreateRequest.Config.Image") starts at the outermost
//! struct; embedded structs and the Go types of lists and maps arrive as names of newtypes, see
//! `wire.rs` and `nullable.rs`.

use std::fmt;

use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, Visitor};

use super::parse::Tree;

/// Decodes a tree.
pub(super) fn decode<T: DeserializeOwned>(tree: &Tree) -> Result<T, String> {
    T::deserialize(Decoder { tree, expected: None }).map_err(|error| error.text())
}

/// What did not fit, and the way to it from the inside out.
#[derive(Debug)]
struct Mismatch {
    /// The kind of value; the whole message when there is no `go_type`.
    what: String,
    go_type: String,
    /// Names of fields, the innermost first.
    path: Vec<String>,
    outer: Option<&'static str>,
    /// The embedded struct that the field at hand belongs to.
    embedded: Option<&'static str>,
}

impl Mismatch {
    fn new(what: impl Into<String>, go_type: impl Into<String>) -> Mismatch {
        Mismatch {
            what: what.into(),
            go_type: go_type.into(),
            path: Vec::new(),
            outer: None,
            embedded: None,
        }
    }

    fn text(&self) -> String {
        if self.go_type.is_empty() {
            return self.what.clone();
        }
        let path: Vec<&str> = self.path.iter().rev().map(String::as_str).collect();
        match self.outer {
            Some(outer) if !path.is_empty() => format!(
                "json: cannot unmarshal {} into Go struct field {}.{} of type {}",
                self.what,
                unqualified(outer),
                path.join("."),
                self.go_type
            ),
            _ => {
                format!(
                    "json: cannot unmarshal {} into Go value of type {}",
                    self.what, self.go_type
                )
            }
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl std::error::Error for Mismatch {}

impl de::Error for Mismatch {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Mismatch::new(message.to_string(), "")
    }
}

#[derive(Clone, Copy)]
struct Decoder<'a> {
    tree: &'a Tree,
    /// The Go type, where a newtype named it.
    expected: Option<&'static str>,
}

impl Decoder<'_> {
    fn refuse<T>(self, go_type: &str) -> Result<T, Mismatch> {
        let what = match self.tree {
            Tree::Null => "null".to_owned(),
            Tree::Bool(_) => "bool".to_owned(),
            Tree::Number(_) => "number".to_owned(),
            Tree::String(_) => "string".to_owned(),
            Tree::Array(_) => "array".to_owned(),
            Tree::Object(_) => "object".to_owned(),
        };
        Err(Mismatch::new(what, self.expected.unwrap_or(go_type)))
    }

    fn number<N: std::str::FromStr + Default>(self, go_type: &str) -> Result<N, Mismatch> {
        match self.tree {
            Tree::Null => Ok(N::default()),
            Tree::Number(digits) => {
                let what = || Mismatch::new(format!("number {digits}"), go_type);
                digits.parse().map_err(|_| what())
            }
            _ => self.refuse(go_type),
        }
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $ty:ty => $name:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
            visitor.$visit(self.number::<$ty>($name)?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Decoder<'de> {
    type Error = Mismatch;

    numbers! {
        deserialize_i8 visit_i8 i8 => "int8";
        deserialize_i16 visit_i16 i16 => "int16";
        deserialize_i32 visit_i32 i32 => "int32";
        deserialize_i64 visit_i64 i64 => "int64";
        deserialize_u8 visit_u8 u8 => "uint8";
        deserialize_u16 visit_u16 u16 => "uint16";
        deserialize_u32 visit_u32 u32 => "uint32";
        deserialize_u64 visit_u64 u64 => "uint64";
        deserialize_f32 visit_f32 f32 => "float32";
        deserialize_f64 visit_f64 f64 => "float64";
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.tree {
            Tree::Null => visitor.visit_unit(),
            Tree::Bool(value) => visitor.visit_bool(*value),
            Tree::Number(digits) => {
                if let Ok(value) = digits.parse::<i64>() {
                    visitor.visit_i64(value)
                } else if let Ok(value) = digits.parse::<u64>() {
                    visitor.visit_u64(value)
                } else {
                    visitor.visit_f64(self.number("float64")?)
                }
            }
            Tree::String(value) => visitor.visit_str(value),
            Tree::Array(items) => visitor.visit_seq(Items(items.iter())),
            Tree::Object(members) => visitor.visit_map(Members::new(members, None)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.tree {
            Tree::Null => visitor.visit_bool(false),
            Tree::Bool(value) => visitor.visit_bool(*value),
            _ => self.refuse("bool"),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.tree {
            Tree::Null => visitor.visit_str(""),
            Tree::String(value) => visitor.visit_str(value),
            _ => self.refuse("string"),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.tree {
            Tree::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    /// A list or map that names its Go type, or a field of an embedded struct that names the
    /// struct.
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        let is_map = name.starts_with("map[") || name.ends_with("Map");
        if is_map || name.starts_with("[]") {
            return match self.tree {
                Tree::Null => visitor.visit_newtype_struct(self),
                Tree::Array(_) if !is_map => visitor.visit_newtype_struct(self),
                Tree::Object(_) if is_map => visitor.visit_newtype_struct(self),
                _ => self.refuse(name),
            };
        }
        visitor
            .visit_newtype_struct(self)
            .map_err(|error| Mismatch { embedded: Some(name), ..error })
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        match self.tree {
            Tree::Array(items) => visitor.visit_seq(Padded { items: items.iter(), left: len }),
            Tree::Null => visitor.visit_seq(Padded { items: [].iter(), left: len }),
            _ => self.refuse(&format!("[{len}]uint")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        match self.tree {
            Tree::Null => visitor.visit_map(Members::new(&[], None)),
            Tree::Object(members) => visitor.visit_map(Members::new(members, Some(name))),
            // Most types are of Go's package `container`, and named without it.
            _ if name.contains('.') => self.refuse(name),
            _ => self.refuse(&format!("container.{name}")),
        }
    }

    serde::forward_to_deserialize_any! {
        char bytes byte_buf unit unit_struct seq tuple_struct map enum identifier ignored_any
    }
}

struct Items<'a>(std::slice::Iter<'a, Tree>);

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = Mismatch;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Mismatch> {
        let Some(tree) = self.0.next() else { return Ok(None) };
        seed.deserialize(Decoder { tree, expected: None }).map(Some)
    }
}

/// A Go array of fixed length: what is missing is zero, what is too much is ignored.
struct Padded<'a> {
    items: std::slice::Iter<'a, Tree>,
    left: usize,
}

impl<'de> de::SeqAccess<'de> for Padded<'de> {
    type Error = Mismatch;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Mismatch> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let tree = self.items.next().unwrap_or(&Tree::Null);
        seed.deserialize(Decoder { tree, expected: None }).map(Some)
    }
}

struct Members<'a> {
    members: std::slice::Iter<'a, (String, Tree)>,
    current: Option<&'a (String, Tree)>,
    /// The struct, if it is one.
    name: Option<&'static str>,
}

impl<'a> Members<'a> {
    fn new(members: &'a [(String, Tree)], name: Option<&'static str>) -> Self {
        Members { members: members.iter(), current: None, name }
    }
}

impl<'de> de::MapAccess<'de> for Members<'de> {
    type Error = Mismatch;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Mismatch> {
        self.current = self.members.next();
        match self.current {
            Some((key, _)) => seed.deserialize(de::value::StrDeserializer::new(key)).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Mismatch> {
        let (key, tree) = self.current.expect("a value is read after its key");
        let result = seed.deserialize(Decoder { tree, expected: None });
        let Some(name) = self.name else { return result };
        result.map_err(|mut error| {
            error.path.push(key.clone());
            error.path.extend(error.embedded.take().map(|name| unqualified(name).to_owned()));
            error.outer = Some(name);
            error
        })
    }
}

/// Go's name of a type without its package.
fn unqualified(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(_, name)| name)
}
