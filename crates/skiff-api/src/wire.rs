//! How one wire struct is declared: field, JSON name, and whether Go leaves it out when empty.
//!
//! serde's derive cannot give what Go's decoder gives: names in any case, a repeated name (the last
//! counts), null for anything, and embedded structs without buffering the whole object. The macro
//! here writes both directions for a struct from one list of fields, so that it cannot disagree
//! with itself.

use std::{fmt, marker::PhantomData};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize};

/// A struct of the wire format; implemented by [`wire!`] only.
pub trait Wire: Default {
    /// The type's name in Go, for Go's error texts.
    const GO_NAME: &'static str;

    /// Finds the exact JSON name for a name as it was sent.
    fn canonical(sent: &str, same: fn(&str, &str) -> bool) -> Option<&'static str>;

    /// Reads the value of field `name`; says whether the struct has such a field.
    fn set<'de, A: MapAccess<'de>>(
        &mut self,
        name: &'static str,
        embedded: Option<&'static str>,
        map: &mut A,
    ) -> Result<bool, A::Error>;

    /// Writes all fields into an object that is already open.
    fn emit<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error>;
}

/// Says whether Go's `omitempty` would leave the value out.
pub(crate) fn is_empty<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn exact(a: &str, b: &str) -> bool {
    a == b
}

fn ignoring_case(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// Resolves a key to the static name of a field without allocating.
struct KeySeed<T>(PhantomData<T>);

impl<'de, T: Wire> DeserializeSeed<'de> for KeySeed<T> {
    type Value = Option<&'static str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl<T: Wire> Visitor<'_> for KeySeed<T> {
    type Value = Option<&'static str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E>(self, sent: &str) -> Result<Self::Value, E> {
        Ok(T::canonical(sent, exact).or_else(|| T::canonical(sent, ignoring_case)))
    }
}

/// Reads one field's value; null is the zero value. The name of an embedded struct is passed to
/// the decoder as a newtype's name, because Go's error texts show it in the path.
pub(crate) struct FieldSeed<T>(pub(crate) Option<&'static str>, pub(crate) PhantomData<T>);

impl<'de, T: Deserialize<'de> + Default> DeserializeSeed<'de> for FieldSeed<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        match self.0 {
            None => Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default()),
            Some(name) => deserializer.deserialize_newtype_struct(name, self),
        }
    }
}

impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for FieldSeed<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
    }
}

/// Visits an object and fills a struct from it.
pub(crate) struct WireVisitor<T>(pub(crate) PhantomData<T>);

impl<'de, T: Wire> Visitor<'de> for WireVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut value = T::default();
        while let Some(name) = map.next_key_seed(KeySeed::<T>(PhantomData))? {
            let known = match name {
                Some(name) => value.set(name, None, &mut map)?,
                None => false,
            };
            if !known {
                map.next_value::<serde::de::IgnoredAny>()?;
            }
        }
        Ok(value)
    }
}

/// Declares wire structs: `field: Type = "JsonName"`, with `, omitempty` where Go omits the zero
/// value, and `= embed` for a struct whose fields stand in the outer object.
macro_rules! wire {
    ($(
        $(#[$meta:meta])*
        pub struct $name:ident as $go:literal {
            $( $(#[$fmeta:meta])* $field:ident : $ty:ty = $json:tt $(, $opt:ident)? ;)*
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name {
            $( $(#[$fmeta])* pub $field: $ty, )*
        }

        impl $crate::wire::Wire for $name {
            const GO_NAME: &'static str = $go;

            #[allow(unused_variables)]
            fn canonical(sent: &str, same: fn(&str, &str) -> bool) -> Option<&'static str> {
                $( wire!(@canonical $json, $ty, sent, same); )*
                None
            }

            #[allow(unused_variables)]
            fn set<'de, A: serde::de::MapAccess<'de>>(
                &mut self,
                name: &'static str,
                embedded: Option<&'static str>,
                map: &mut A,
            ) -> Result<bool, A::Error> {
                $( wire!(@set $json, $ty, self.$field, name, embedded, map); )*
                Ok(false)
            }

            #[allow(unused_variables)]
            fn emit<M: serde::ser::SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
                $( wire!(@emit $json, self.$field, map $(, $opt)?); )*
                Ok(())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap;
                let mut map = serializer.serialize_map(None)?;
                $crate::wire::Wire::emit(self, &mut map)?;
                map.end()
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_struct(
                    <$name as $crate::wire::Wire>::GO_NAME,
                    &[],
                    $crate::wire::WireVisitor(std::marker::PhantomData),
                )
            }
        }

        impl $crate::nullable::GoElement for $name {
            const LIST: &'static str = concat!("[]", $go);
            const MAP: &'static str = concat!("map[string]", $go);
        }
    )*};

    (@canonical embed, $ty:ty, $sent:ident, $same:ident) => {
        if let Some(name) = <$ty as $crate::wire::Wire>::canonical($sent, $same) {
            return Some(name);
        }
    };
    (@canonical $json:literal, $ty:ty, $sent:ident, $same:ident) => {
        if $same($sent, $json) {
            return Some($json);
        }
    };

    (@set embed, $ty:ty, $place:expr, $name:ident, $embedded:ident, $map:ident) => {
        let inner = Some(<$ty as $crate::wire::Wire>::GO_NAME);
        if $crate::wire::Wire::set(&mut $place, $name, inner, $map)? {
            return Ok(true);
        }
    };
    (@set $json:literal, $ty:ty, $place:expr, $name:ident, $embedded:ident, $map:ident) => {
        if $name == $json {
            $place = $map.next_value_seed($crate::wire::FieldSeed::<$ty>(
                $embedded,
                std::marker::PhantomData,
            ))?;
            return Ok(true);
        }
    };

    (@emit embed, $place:expr, $map:ident) => {
        $crate::wire::Wire::emit(&$place, $map)?;
    };
    (@emit $json:literal, $place:expr, $map:ident) => {
        $map.serialize_entry($json, &$place)?;
    };
    (@emit $json:literal, $place:expr, $map:ident, omitempty) => {
        if !$crate::wire::is_empty(&$place) {
            $map.serialize_entry($json, &$place)?;
        }
    };
}
pub(crate) use wire;

/// Go's `struct{}`, the value of its sets: `{"80/tcp":{}}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Empty;

impl Serialize for Empty {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_map(Some(0))?.end()
    }
}

impl<'de> Deserialize<'de> for Empty {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Empty;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Empty, A::Error> {
                while map.next_entry::<serde::de::IgnoredAny, serde::de::IgnoredAny>()?.is_some() {}
                Ok(Empty)
            }
        }
        deserializer.deserialize_struct("struct {}", &[], Object)
    }
}
