//! Go's slices and maps, which know "absent" (null) from "empty", behind Rust's `Vec` and
//! `BTreeMap`.
//!
//! Docker sends and stores the difference (`Entrypoint: []` resets the image's, `null` keeps it),
//! so it must survive; everything else should not have to think about it, so both types deref to
//! the plain collection and compare without the difference.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq, Serializer};
use serde::{Deserialize, Serialize};

/// Names the Go types of a list and a map of this element, which Go's error texts show.
pub trait GoElement {
    /// As in `[]string`.
    const LIST: &'static str;
    /// As in `map[string]string`.
    const MAP: &'static str;
}

macro_rules! go_element {
    ($($ty:ty => $name:literal),* $(,)?) => {$(
        impl GoElement for $ty {
            const LIST: &'static str = concat!("[]", $name);
            const MAP: &'static str = concat!("map[string]", $name);
        }
    )*};
}

go_element! {
    String => "string",
    bool => "bool",
    u64 => "uint64",
    i64 => "int64",
    [u32; 2] => "[2]uint",
    (String, String) => "[2]string",
    Vec<String> => "[]string",
    List<String> => "[]string",
    crate::Empty => "struct {}",
    serde_json::Value => "interface {}",
    Map<String> => "map[string]string",
    Map<bool> => "map[string]bool",
}

impl<T: GoElement> GoElement for Option<T> {
    const LIST: &'static str = T::LIST;
    const MAP: &'static str = T::MAP;
}

impl GoElement for List<crate::PortBinding> {
    const LIST: &'static str = "[][]network.PortBinding";
    const MAP: &'static str = "network.PortMap";
}

/// A Go slice: a list that may be null.
#[derive(Clone)]
pub struct List<T> {
    items: Vec<T>,
    present: bool,
}

impl<T> List<T> {
    /// An empty list that is there: `[]`, not `null`.
    pub const fn empty() -> Self {
        List { items: Vec::new(), present: true }
    }

    /// Says whether the list is `null` rather than just empty.
    pub fn is_null(&self) -> bool {
        !self.present && self.items.is_empty()
    }

    /// Takes the items out.
    pub fn into_vec(self) -> Vec<T> {
        self.items
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        List { items: Vec::new(), present: false }
    }
}

impl<T: PartialEq> PartialEq for List<T> {
    fn eq(&self, other: &Self) -> bool {
        self.items == other.items
    }
}

impl<T: Eq> Eq for List<T> {}

impl<T: fmt::Debug> fmt::Debug for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_null() { f.write_str("null") } else { self.items.fmt(f) }
    }
}

impl<T> Deref for List<T> {
    type Target = Vec<T>;
    fn deref(&self) -> &Vec<T> {
        &self.items
    }
}

impl<T> DerefMut for List<T> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        &mut self.items
    }
}

impl<T> From<Vec<T>> for List<T> {
    fn from(items: Vec<T>) -> Self {
        List { items, present: true }
    }
}

impl<T> FromIterator<T> for List<T> {
    fn from_iter<I: IntoIterator<Item = T>>(iter: I) -> Self {
        List { items: iter.into_iter().collect(), present: true }
    }
}

impl<T> IntoIterator for List<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;
    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a List<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.items.iter()
    }
}

impl<T: Serialize> Serialize for List<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_null() {
            return serializer.serialize_none();
        }
        let mut seq = serializer.serialize_seq(Some(self.items.len()))?;
        for item in &self.items {
            seq.serialize_element(item)?;
        }
        seq.end()
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + GoElement> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array or null")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, d: D) -> Result<List<T>, D::Error> {
        d.deserialize_any(self)
    }

    fn visit_unit<E>(self) -> Result<List<T>, E> {
        Ok(List::default())
    }

    fn visit_none<E>(self) -> Result<List<T>, E> {
        Ok(List::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(List { items, present: true })
    }
}

impl<'de, T: Deserialize<'de> + GoElement> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(T::LIST, ListVisitor(PhantomData))
    }
}

/// A Go map with string keys: a map that may be null. Keys are written in order, as Go does.
#[derive(Clone)]
pub struct Map<V> {
    entries: BTreeMap<String, V>,
    present: bool,
}

impl<V> Map<V> {
    /// An empty map that is there: `{}`, not `null`.
    pub const fn empty() -> Self {
        Map { entries: BTreeMap::new(), present: true }
    }

    /// Says whether the map is `null` rather than just empty.
    pub fn is_null(&self) -> bool {
        !self.present && self.entries.is_empty()
    }

    /// Takes the entries out.
    pub fn into_inner(self) -> BTreeMap<String, V> {
        self.entries
    }
}

impl<V> Default for Map<V> {
    fn default() -> Self {
        Map { entries: BTreeMap::new(), present: false }
    }
}

impl<V: PartialEq> PartialEq for Map<V> {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl<V: Eq> Eq for Map<V> {}

impl<V: fmt::Debug> fmt::Debug for Map<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_null() { f.write_str("null") } else { self.entries.fmt(f) }
    }
}

impl<V> Deref for Map<V> {
    type Target = BTreeMap<String, V>;
    fn deref(&self) -> &Self::Target {
        &self.entries
    }
}

impl<V> DerefMut for Map<V> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.entries
    }
}

impl<V> From<BTreeMap<String, V>> for Map<V> {
    fn from(entries: BTreeMap<String, V>) -> Self {
        Map { entries, present: true }
    }
}

impl<K: Into<String>, V> FromIterator<(K, V)> for Map<V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(iter: I) -> Self {
        Map { entries: iter.into_iter().map(|(k, v)| (k.into(), v)).collect(), present: true }
    }
}

impl<V> IntoIterator for Map<V> {
    type Item = (String, V);
    type IntoIter = std::collections::btree_map::IntoIter<String, V>;
    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl<'a, V> IntoIterator for &'a Map<V> {
    type Item = (&'a String, &'a V);
    type IntoIter = std::collections::btree_map::Iter<'a, String, V>;
    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter()
    }
}

impl<V: Serialize> Serialize for Map<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_null() {
            return serializer.serialize_none();
        }
        let mut map = serializer.serialize_map(Some(self.entries.len()))?;
        for (key, value) in &self.entries {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

struct MapVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de> + GoElement + Default> Visitor<'de> for MapVisitor<V> {
    type Value = Map<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or null")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, d: D) -> Result<Map<V>, D::Error> {
        d.deserialize_any(self)
    }

    fn visit_unit<E>(self) -> Result<Map<V>, E> {
        Ok(Map::default())
    }

    fn visit_none<E>(self) -> Result<Map<V>, E> {
        Ok(Map::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Map<V>, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            entries.insert(key, map.next_value::<Option<V>>()?.unwrap_or_default());
        }
        Ok(Map { entries, present: true })
    }
}

impl<'de, V: Deserialize<'de> + GoElement + Default> Deserialize<'de> for Map<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(V::MAP, MapVisitor(PhantomData))
    }
}
