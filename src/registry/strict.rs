//! Reading JSON strictly: one spelling for what is signed, so that every reader of a log reads the same.
//!
//! serde is more generous than the format: it takes a struct from an array of its fields, an enum's word from
//! `{"word": null}`, any number that fits a `u64`. Other readers would not, and two nodes that differ about one record
//! have two states.

use serde::{Deserialize, Serialize};

use super::text::Millis;

/// A list of at most `N` items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct List<T, const N: usize>(pub Vec<T>);

impl<T, const N: usize> Default for List<T, N> {
    fn default() -> Self {
        List(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for List<T, N> {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        struct Bounded<T, const N: usize>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const N: usize> serde::de::Visitor<'de> for Bounded<T, N> {
            type Value = List<T, N>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "a list of at most {N} items")
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    if items.len() == N {
                        return Err(serde::de::Error::custom(format!("more than {N} items")));
                    }
                    items.push(item);
                }
                Ok(List(items))
            }
        }
        d.deserialize_seq(Bounded(std::marker::PhantomData))
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case", remote = "Self")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
                Self::serialize(self, s)
            }
        }
        // serde would also read the word from {"word": null}: one word, one spelling.
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
                let word = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                Self::deserialize(serde::de::IntoDeserializer::<D::Error>::into_deserializer(word.as_ref()))
            }
        }
    };
}

/// Reads a `T` from a JSON object. serde would also take a struct from an array of its fields in order, which no other
/// reader of the log would.
pub(super) fn object<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(d: D) -> std::result::Result<T, D::Error> {
    struct Object<T>(std::marker::PhantomData<T>);
    impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Object<T> {
        type Value = T;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> std::result::Result<T, A::Error> {
            T::deserialize(serde::de::value::MapAccessDeserializer::new(map))
        }
    }
    d.deserialize_map(Object(std::marker::PhantomData))
}

/// An optional member that is an object.
pub(super) fn some_object<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(
    d: D,
) -> std::result::Result<Option<T>, D::Error> {
    object(d).map(Some)
}

/// Reads `json` whole, from an object.
pub(crate) fn from_object<'de, T: Deserialize<'de>>(json: &'de [u8]) -> serde_json::Result<T> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let value = object(&mut reader)?;
    reader.end().map(|()| value)
}

/// A list of objects.
pub(super) fn objects<'de, T: Deserialize<'de>, const N: usize, D: serde::Deserializer<'de>>(
    d: D,
) -> std::result::Result<List<T, N>, D::Error> {
    #[derive(Deserialize)]
    #[serde(bound = "T: Deserialize<'de>")]
    struct Item<T>(#[serde(deserialize_with = "object")] T);
    let items = List::<Item<T>, N>::deserialize(d)?;
    Ok(List(items.0.into_iter().map(|i| i.0).collect()))
}

/// A number that every JSON reader reads alike.
pub(super) fn index<'de, D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Option<u64>, D::Error> {
    Ok(Option::<Millis>::deserialize(d)?.map(Millis::get))
}

/// A number that every JSON reader reads alike, where one must stand.
pub(super) fn number<'de, D: serde::Deserializer<'de>>(d: D) -> std::result::Result<u64, D::Error> {
    Ok(Millis::deserialize(d)?.get())
}

pub(crate) use words;
