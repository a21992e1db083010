//! One HTTP request, its body read.

use axum::{
    body::Bytes,
    http::{HeaderMap, Method, Uri, header},
};
use serde::de::DeserializeOwned;

use super::engine::{body, go_json, version::ApiVersion};
use crate::api::{Error, Filters, Request};

pub struct Call {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Call {
    /// The version that the path begins with, else the newest one; and the rest of the path.
    pub fn path(&self) -> Result<(ApiVersion, String), Error> {
        let path = decode(self.uri.path());
        let path = path.trim_start_matches('/');
        let (first, rest) = path.split_once('/').unwrap_or((path, ""));
        match first.strip_prefix('v').map(str::parse::<ApiVersion>) {
            Some(Ok(version)) => Ok((version.check()?, rest.to_owned())),
            _ => Ok((ApiVersion::NEWEST, path.to_owned())),
        }
    }

    /// The body of one of the engine's requests, with the engine's words where it cannot be read.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        go_json::read(self.json_body()?).map_err(|error| Error::bad_request(format!("invalid JSON: {error}")))
    }

    /// The body as a request of our own client.
    pub fn own_request(&self) -> Result<Request, Error> {
        serde_json::from_slice(self.json_body()?).map_err(|error| Error::bad_request(format!("invalid JSON: {error}")))
    }

    fn json_body(&self) -> Result<&[u8], Error> {
        let kind = self
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default();
        if kind.split(';').next().map(str::trim) != Some("application/json") {
            return Err(Error::bad_request(format!(
                "Content-Type specified ({kind}) must be 'application/json'"
            )));
        }
        if self.body.is_empty() {
            return Err(Error::bad_request("got EOF while reading request body"));
        }
        Ok(&self.body)
    }

    pub fn filters(&self) -> Result<Filters, Error> {
        self.parameter("filters")
            .map_or_else(|| Ok(Filters::new()), |text| body::filters(&text))
    }

    /// The engine's truth: anything but these.
    pub fn flag(&self, name: &str) -> bool {
        self.parameter(name)
            .is_some_and(|value| !matches!(value.to_ascii_lowercase().as_str(), "" | "0" | "no" | "false" | "none"))
    }

    pub fn parameter(&self, name: &str) -> Option<String> {
        self.uri.query()?.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then(|| decode(&value.replace('+', " ")))
        })
    }
}

/// Undoes `%2F`; what is no such escape stays as it is.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(escape.unwrap_or(bytes[at]));
        at += if escape.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
