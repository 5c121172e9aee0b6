//! Request bodies: a JSON object of at most 16 KiB, read into the endpoint's own type.

use std::fmt;

use http::{HeaderMap, header};
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::{Map, Value};

use crate::{ApiError, Reason};

/// The largest body that is read, in bytes after base64 decoding.
pub const MAX_BYTES: usize = 16 * 1024;

/// What an endpoint reads its body into.
pub trait FromBody: Sized {
    /// Reads `bytes`, or says what is wrong with them.
    fn from_body(headers: &HeaderMap, bytes: &[u8]) -> Result<Self, ApiError>;
}

/// The body of an endpoint that takes none: empty or `{}`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct Nothing {}

/// A body that the endpoint checks by itself, with the `Authorization` header that signs it.
pub struct RawBody {
    /// The body as it came.
    pub bytes: Vec<u8>,
    /// The `Authorization` header.
    pub authorization: Option<String>,
}

impl FromBody for RawBody {
    fn from_body(headers: &HeaderMap, bytes: &[u8]) -> Result<Self, ApiError> {
        let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        Ok(Self { bytes: bytes.to_vec(), authorization: authorization.map(str::to_owned) })
    }
}

impl<T: DeserializeOwned> FromBody for T {
    fn from_body(headers: &HeaderMap, bytes: &[u8]) -> Result<Self, ApiError> {
        if bytes.len() > MAX_BYTES {
            return Err(Reason::BodyTooLarge.into());
        }
        if bytes.is_empty() {
            return read_fields(Map::new());
        }
        if !is_json(headers) {
            return Err(Reason::JsonRequired.into());
        }
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(fields)) => read_fields(fields),
            Ok(_) => Err(ApiError::new(Reason::InvalidJson).because("the body is JSON, but not an object")),
            // The error's text names line and column, never the body's content.
            Err(error) => Err(ApiError::new(Reason::InvalidJson).because(error)),
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

fn read_fields<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<T, ApiError> {
    let fields = Fields { rest: fields.into_iter(), value: None };
    T::deserialize(MapAccessDeserializer::new(fields)).map_err(|FieldError { reason, field }| {
        let error = ApiError::new(reason);
        match field {
            Some(field) => error.field(field),
            None => error,
        }
    })
}

/// The fields on their way into a type. An error is given the name of the field that it is about.
struct Fields {
    rest: serde_json::map::IntoIter,
    value: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Fields {
    type Error = FieldError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, FieldError> {
        let Some((name, value)) = self.rest.next() else { return Ok(None) };
        let key = seed.deserialize(name.as_str().into_deserializer());
        self.value = Some((name, value));
        key.map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, FieldError> {
        let (name, value) = self.value.take().unwrap_or_default();
        seed.deserialize(Field { value }).map_err(|error| FieldError { field: Some(name), ..error })
    }
}

/// One field on its way into its type.
struct Field {
    value: Value,
}

impl<'de> Deserializer<'de> for Field {
    type Error = FieldError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match self.value {
            Value::Null => Err(FieldError { reason: Reason::MissingField, field: None }),
            Value::String(text) => visitor.visit_string(text),
            other => other
                .deserialize_any(visitor)
                .map_err(|_| FieldError { reason: Reason::InvalidField, field: None }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// Why a field does not fit. A field's type says so by the name of a [`Reason`], see [`crate::text!`].
#[derive(Debug)]
struct FieldError {
    reason: Reason,
    field: Option<String>,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.name())
    }
}

impl std::error::Error for FieldError {}

impl de::Error for FieldError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { reason: Reason::named(&message.to_string()).unwrap_or(Reason::InvalidField), field: None }
    }

    fn missing_field(field: &'static str) -> Self {
        Self { reason: Reason::MissingField, field: Some(field.to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EmailAddress;

    #[derive(Debug, Deserialize)]
    struct Input {
        email: EmailAddress,
        #[expect(dead_code, reason = "read to see that it may be missing")]
        state: Option<String>,
    }

    fn read(body: &str) -> Result<Input, (Reason, Option<String>)> {
        let mut headers = HeaderMap::new();
        headers
            .insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json; charset=utf-8"));
        Input::from_body(&headers, body.as_bytes())
            .map_err(|error| (error.reason(), error.details().field.clone()))
    }

    #[test]
    fn an_error_names_the_field() {
        let email = Some("email".to_owned());
        assert_eq!(read("{}").unwrap_err(), (Reason::MissingField, email.clone()));
        assert_eq!(read("").unwrap_err(), (Reason::MissingField, email.clone()));
        assert_eq!(read(r#"{"email":null}"#).unwrap_err(), (Reason::MissingField, email.clone()));
        assert_eq!(read(r#"{"email":" "}"#).unwrap_err(), (Reason::MissingField, email.clone()));
        assert_eq!(read(r#"{"email":7}"#).unwrap_err(), (Reason::InvalidField, email.clone()));
        assert_eq!(read(r#"{"email":["a@b.cc"]}"#).unwrap_err(), (Reason::InvalidField, email.clone()));
        assert_eq!(read(r#"{"email":"jane"}"#).unwrap_err(), (Reason::InvalidEmail, email));
        let state = Some("state".to_owned());
        assert_eq!(read(r#"{"email":"a@b.cc","state":{}}"#).unwrap_err(), (Reason::InvalidField, state));
    }

    #[test]
    fn unknown_fields_and_null_options_are_fine() {
        let input = read(r#"{"email":"a@b.cc","state":null,"more":[1]}"#).unwrap();
        assert_eq!(input.email.as_str(), "a@b.cc");
    }

    #[test]
    fn only_a_json_object_of_fair_size_is_read() {
        assert_eq!(read("[]").unwrap_err().0, Reason::InvalidJson);
        assert_eq!(read("{").unwrap_err().0, Reason::InvalidJson);
        assert_eq!(read(&" ".repeat(MAX_BYTES + 1)).unwrap_err().0, Reason::BodyTooLarge);
        let error = Input::from_body(&HeaderMap::new(), b"email=a").unwrap_err();
        assert_eq!(error.reason(), Reason::JsonRequired);
    }
}
