//! JSON as Go's `encoding/json` reads it into a structure: field names in any case, and `null`, wherever it stands, for
//! what was not given. Clients in languages that have no zero value send `null` for every field that they leave out.

use std::fmt;

use serde::de::{
    self, DeserializeOwned, Deserializer, Visitor,
    value::{MapDeserializer, SeqDeserializer},
};
use serde::forward_to_deserialize_any;
use serde_json::Value;

/// Why a body cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

impl de::Error for Unreadable {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Unreadable> {
    let value = serde_json::from_slice(body).map_err(de::Error::custom)?;
    T::deserialize(Read {
        value,
        structure: "",
        field: String::new(),
    })
}

/// A value and where it stands.
struct Read {
    value: Value,
    /// The innermost structure's type; empty outside of any.
    structure: &'static str,
    /// Names of the fields that lead here, with dots.
    field: String,
}

impl Read {
    fn unfit<T>(&self, wanted: &str) -> Result<T, Unreadable> {
        let found = match self.value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let place = if self.structure.is_empty() {
            "value".to_owned()
        } else {
            format!("struct field {}.{}", self.structure, self.field)
        };
        Err(Unreadable(format!(
            "json: cannot unmarshal {found} into Go {place} of type {wanted}"
        )))
    }

    /// What stands inside of this one, in no field of its own.
    fn inner(&self, value: Value) -> Self {
        Self {
            value,
            structure: self.structure,
            field: self.field.clone(),
        }
    }
}

impl de::IntoDeserializer<'_, Unreadable> for Read {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Read {
    type Error = Unreadable;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        self.value.deserialize_any(visitor).map_err(de::Error::custom)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        match self.value {
            Value::Null => visitor.visit_bool(false),
            Value::Bool(value) => visitor.visit_bool(value),
            _ => self.unfit("bool"),
        }
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        match (&self.value, self.value.as_i64()) {
            (Value::Null, _) => visitor.visit_i64(0),
            (_, Some(number)) => visitor.visit_i64(number),
            _ => self.unfit("int"),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        match self.value {
            Value::Null => visitor.visit_string(String::new()),
            Value::String(text) => visitor.visit_string(text),
            _ => self.unfit("string"),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Unreadable> {
        let values = match self.value.take() {
            Value::Null => Vec::new(),
            Value::Array(values) => values,
            other => return self.inner(other).unfit("slice"),
        };
        let values = values.into_iter().map(|value| self.inner(value));
        visitor.visit_seq(SeqDeserializer::new(values))
    }

    fn deserialize_map<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Unreadable> {
        let entries = match self.value.take() {
            Value::Null => serde_json::Map::new(),
            Value::Object(entries) => entries,
            other => return self.inner(other).unfit("map[string]string"),
        };
        let entries = entries.into_iter().map(|(key, value)| (key, self.inner(value)));
        visitor.visit_map(MapDeserializer::new(entries))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        let entries = match self.value.take() {
            Value::Null => serde_json::Map::new(),
            Value::Object(entries) => entries,
            other => return self.inner(other).unfit(name),
        };
        let mut known: Vec<(&'static str, Self)> = Vec::new();
        for (key, value) in entries {
            let Some(field) = fields.iter().find(|field| field.eq_ignore_ascii_case(&key)) else {
                continue;
            };
            // of several spellings the last one holds
            known.retain(|(earlier, _)| earlier != field);
            if !value.is_null() {
                known.push((field, self.field(name, field, value)));
            }
        }
        visitor.visit_map(MapDeserializer::new(known.into_iter()))
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        self.deserialize_string(visitor)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u32 u64 u128 f32 f64 char str bytes byte_buf unit unit_struct newtype_struct tuple
        tuple_struct enum ignored_any
    }
}

impl Read {
    /// A field of the structure that stands here.
    fn field(&self, structure: &'static str, field: &str, value: Value) -> Self {
        let outer = if self.field.is_empty() {
            String::new()
        } else {
            format!("{}.", self.field)
        };
        Self {
            value,
            structure,
            field: outer + field,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    struct Outer {
        text: String,
        flag: bool,
        number: i64,
        maybe: Option<bool>,
        list: Vec<String>,
        map: BTreeMap<String, String>,
        inner: Inner,
        inners: Vec<Inner>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    struct Inner {
        text: String,
    }

    fn said(body: &str) -> String {
        read::<Outer>(body.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn null_is_what_was_not_given() {
        let nothing = Outer::default();
        assert_eq!(read::<Outer>(b"null").unwrap(), nothing);
        for field in ["Text", "Flag", "Number", "Maybe", "List", "Map", "Inner", "Inners"] {
            let body = format!("{{\"{field}\":null,\"Unknown\":[null,1]}}");
            assert_eq!(read::<Outer>(body.as_bytes()).unwrap(), nothing, "{field}");
        }
        let inside = read::<Outer>(br#"{"List":[null],"Map":{"a":null},"Inner":{"Text":null},"Inners":[null,{}]}"#);
        let expected = Outer {
            list: vec![String::new()],
            map: [("a".to_owned(), String::new())].into(),
            inners: vec![Inner::default(), Inner::default()],
            ..Outer::default()
        };
        assert_eq!(inside.unwrap(), expected);
    }

    #[test]
    fn names_of_fields_have_any_case_and_the_last_one_holds() {
        let found = read::<Outer>(br#"{"TEXT":"a","text":"b","inner":{"tExT":"c"},"map":{"A":"1","a":"2"}}"#).unwrap();
        assert_eq!((found.text.as_str(), found.inner.text.as_str()), ("b", "c"));
        assert_eq!(found.map.len(), 2);
    }

    #[test]
    fn what_does_not_fit_is_told_as_go_tells_it() {
        for (body, expected) in [
            (
                r#"{"Text":7}"#,
                "json: cannot unmarshal number into Go struct field Outer.Text of type string",
            ),
            (
                r#"{"Flag":"yes"}"#,
                "json: cannot unmarshal string into Go struct field Outer.Flag of type bool",
            ),
            (
                r#"{"Inner":{"Text":[]}}"#,
                "json: cannot unmarshal array into Go struct field Inner.Inner.Text of type string",
            ),
            (
                r#"{"Map":["a=b"]}"#,
                "json: cannot unmarshal array into Go struct field Outer.Map of type map[string]string",
            ),
            (
                r#"{"Map":{"a":true}}"#,
                "json: cannot unmarshal bool into Go struct field Outer.Map of type string",
            ),
            (
                r#"{"List":{}}"#,
                "json: cannot unmarshal object into Go struct field Outer.List of type slice",
            ),
            ("[]", "json: cannot unmarshal array into Go value of type Outer"),
        ] {
            assert_eq!(said(body), expected, "{body}");
        }
        assert_eq!(said("{"), "EOF while parsing an object at line 1 column 1");
    }
}
