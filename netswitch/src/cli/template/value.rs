//! What a template is rendered over: values as Go has them, because Go prints a structure and a map differently.

use serde_json::{Map, Value as Json};

#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    #[default]
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// RFC 3339.
    Time(String),
    List(Vec<Value>),
    /// In the order of the JSON that it came from; Go sorts where it prints.
    Map(Vec<(String, Value)>),
    Struct(Vec<Field>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    pub name: &'static str,
    /// `None`: left out of JSON, because it is empty.
    pub json: Option<&'static str>,
    pub value: Value,
}

/// What a JSON value is in Go.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Whatever the JSON says; an object is a map.
    Any,
    Time,
    List(&'static Shape),
    Map(&'static Shape),
    /// Names of the field in Go and in JSON, and what it is; in Go's order.
    Struct(&'static [(&'static str, &'static str, Shape)]),
    /// A text that may be left out of JSON.
    Text,
}

impl Shape {
    pub fn of(&self, json: &Json) -> Value {
        match (self, json) {
            (Self::Time, Json::String(text)) => Value::Time(text.clone()),
            (Self::Text, Json::Null) => Value::Text(String::new()),
            (Self::List(shape), json) => {
                let values = json.as_array().into_iter().flatten();
                Value::List(values.map(|value| shape.of(value)).collect())
            }
            (Self::Map(shape), json) => {
                let entries = json.as_object().into_iter().flatten();
                Value::Map(entries.map(|(key, value)| (key.clone(), shape.of(value))).collect())
            }
            (Self::Struct(fields), json) => {
                let field = |(name, key, shape): &(&'static str, &'static str, Self)| {
                    let found = json.get(key);
                    Field {
                        name,
                        json: found.map(|_| *key),
                        value: shape.of(found.unwrap_or(&Json::Null)),
                    }
                };
                Value::Struct(fields.iter().map(field).collect())
            }
            (Self::Any | Self::Time | Self::Text, json) => json.clone().into(),
        }
    }
}

impl From<Json> for Value {
    fn from(json: Json) -> Self {
        match json {
            Json::Null => Self::Nil,
            Json::Bool(value) => Self::Bool(value),
            Json::Number(number) => match number.as_i64() {
                Some(integer) => Self::Int(integer),
                None => Self::Float(number.as_f64().unwrap_or_default()),
            },
            Json::String(text) => Self::Text(text),
            Json::Array(values) => Self::List(values.into_iter().map(Self::from).collect()),
            Json::Object(map) => Self::Map(map.into_iter().map(|(key, value)| (key, value.into())).collect()),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl Value {
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub fn as_index(&self) -> Option<usize> {
        if let Self::Int(number) = self {
            usize::try_from(*number).ok()
        } else {
            None
        }
    }

    pub fn json(&self) -> Json {
        match self {
            Self::Nil => Json::Null,
            Self::Bool(value) => (*value).into(),
            Self::Int(number) => (*number).into(),
            Self::Float(number) => (*number).into(),
            Self::Text(text) | Self::Time(text) => text.as_str().into(),
            Self::List(values) => values.iter().map(Self::json).collect(),
            Self::Map(entries) => {
                let entries = entries.iter().map(|(key, value)| (key.clone(), value.json()));
                Json::Object(entries.collect())
            }
            Self::Struct(fields) => {
                let fields = fields
                    .iter()
                    .filter_map(|field| Some((field.json?.to_owned(), field.value.json())));
                Json::Object(fields.collect::<Map<_, _>>())
            }
        }
    }

    /// Whether Go takes it for true: anything but the empty ones.
    pub fn truth(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(values) => !values.is_empty(),
            Self::Map(entries) => !entries.is_empty(),
            Self::Struct(_) | Self::Time(_) => true,
        }
    }

    /// What Go's `%T` says.
    pub fn type_name(&self) -> &'static str {
        let is_text = |value: &Self| matches!(value, Self::Text(_));
        match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::Time(_) => "time.Time",
            Self::List(values) if values.iter().all(is_text) => "[]string",
            Self::List(_) => "[]interface {}",
            Self::Map(entries) if entries.iter().all(|(_, value)| is_text(value)) => "map[string]string",
            Self::Map(_) => "map[string]interface {}",
            Self::Struct(_) => "struct",
        }
    }
}

/// A map's entries as Go goes through them: by key.
pub fn sorted(entries: &[(String, Value)]) -> Vec<&(String, Value)> {
    let mut entries: Vec<_> = entries.iter().collect();
    entries.sort_by_key(|(key, _)| key);
    entries
}
