//! Deserializes the input of a request into the endpoint's own type: the JSON body or the query, and the path.

use std::fmt;

use http::{HeaderMap, header};
use lambda_http::RequestExt as _;
use lambda_http::aws_lambda_events::query_map::QueryMap;
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::Value;

use crate::endpoint::{HttpRoute, Method};
use crate::handler::{NamedSchema, SchemaFn};
use crate::{Access, ApiError, Reason};

/// The largest body accepted, in bytes after base64 decoding.
pub const MAX_BYTES: usize = 16 * 1024;

/// The input of an endpoint: any type that implements `Deserialize` and `JsonSchema`, or a [`RawBody`].
///
/// The fields of a `POST` come from the JSON body, those of a `GET` or `DELETE` from the query. Fields named in the
/// route, such as `id` in `/things/{id}`, come from the path.
pub trait Input: Sized + Send + 'static {
    /// The schema; `None` if the input is not JSON.
    const SCHEMA: Option<SchemaFn>;

    /// Reads the input of a request.
    ///
    /// # Errors
    /// `missing_field`, `invalid_field` or the reason of the field's type, each with the field's name; `invalid_json`,
    /// `json_required`, `body_too_large`.
    fn read(route: HttpRoute, request: &lambda_http::Request) -> Result<Self, ApiError>;
}

/// No input: the body is empty or `{}`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct Nothing {}

/// A signed body. The endpoint verifies the signature itself.
pub struct RawBody {
    /// The body, unchanged.
    pub bytes: Vec<u8>,
    /// The value of the header that [`Access::Signed`] names.
    pub signature: Option<String>,
}

impl Input for RawBody {
    const SCHEMA: Option<SchemaFn> = None;

    #[inline(always)]
    fn read(route: HttpRoute, request: &lambda_http::Request) -> Result<Self, ApiError> {
        let signature = match route.access {
            Access::Signed(header) => request.headers().get(header).and_then(|value| value.to_str().ok()),
            _ => None,
        };
        Ok(Self { bytes: request.body().to_vec(), signature: signature.map(str::to_owned) })
    }
}

impl<T: DeserializeOwned + JsonSchema + Send + 'static> Input for T {
    const SCHEMA: Option<SchemaFn> = Some(NamedSchema::of::<T>);

    #[inline(always)]
    fn read(route: HttpRoute, request: &lambda_http::Request) -> Result<Self, ApiError> {
        let mut fields = match route.method {
            Method::Post => Fields::from_body(request.headers(), request.body())?,
            Method::Get | Method::Delete => Fields::from_query(&request.query_string_parameters()),
        };
        if route.has_parameters {
            for (name, value) in request.path_parameters().iter() {
                fields.set(name, Field::Text(value.to_owned()));
            }
        }
        fields.read()
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// The fields of an input by name, not yet deserialized.
#[derive(Default)]
struct Fields(Vec<(String, Field)>);

/// The value of a field.
enum Field {
    /// From the body.
    Json(Value),
    /// From the path or the query, which carry numbers and booleans as text.
    Text(String),
    /// Twice in the query, which is an error if the endpoint has such a field.
    Repeated,
}

impl Fields {
    fn from_body(headers: &HeaderMap, bytes: &[u8]) -> Result<Self, ApiError> {
        if bytes.len() > MAX_BYTES {
            return Err(Reason::BodyTooLarge.into());
        }
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        if !is_json(headers) {
            return Err(Reason::JsonRequired.into());
        }
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(fields)) => {
                Ok(Self(fields.into_iter().map(|(name, value)| (name, Field::Json(value))).collect()))
            }
            Ok(_) => Err(ApiError::new(Reason::InvalidJson).because("the body is JSON, but not an object")),
            // serde_json's message gives line and column, never content of the body.
            Err(error) => Err(ApiError::new(Reason::InvalidJson).because(error)),
        }
    }

    fn from_query(query: &QueryMap) -> Self {
        let mut fields = Self::default();
        for (name, value) in query.iter() {
            let is_repeated = fields.0.iter().any(|(each, _)| each == name);
            fields.set(name, if is_repeated { Field::Repeated } else { Field::Text(value.to_owned()) });
        }
        fields
    }

    /// Sets a field, in place of another value.
    fn set(&mut self, name: &str, value: Field) {
        self.0.retain(|(each, _)| each != name);
        self.0.push((name.to_owned(), value));
    }

    fn read<T: DeserializeOwned>(self) -> Result<T, ApiError> {
        let fields = FieldAccess { rest: self.0.into_iter(), value: None };
        T::deserialize(MapAccessDeserializer::new(fields)).map_err(|FieldError { reason, field }| {
            let error = ApiError::new(reason);
            match field {
                Some(field) => error.field(field),
                None => error,
            }
        })
    }
}

/// Adds the name of the field to each error.
struct FieldAccess {
    rest: std::vec::IntoIter<(String, Field)>,
    value: Option<(String, Field)>,
}

impl<'de> MapAccess<'de> for FieldAccess {
    type Error = FieldError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, FieldError> {
        let Some((name, value)) = self.rest.next() else { return Ok(None) };
        let key = seed.deserialize(name.as_str().into_deserializer());
        self.value = Some((name, value));
        key.map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, FieldError> {
        // Serde requests a value only after its key.
        let (name, value) = self.value.take().unwrap_or((String::new(), Field::Json(Value::Null)));
        seed.deserialize(value).map_err(|error| FieldError { field: Some(name), ..error })
    }
}

/// Deserializes a number or boolean: JSON as it is, text by parsing it.
macro_rules! parsed {
    ($($method:ident $visit:ident)+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
            match self {
                Self::Json(_) | Self::Repeated => self.deserialize_any(visitor),
                Self::Text(text) => match text.trim().parse() {
                    Ok(value) => visitor.$visit(value),
                    Err(_) if text.trim().is_empty() => Err(FieldError::new(Reason::MissingField)),
                    Err(_) => Err(FieldError::new(Reason::InvalidField)),
                },
            }
        }
    )+};
}

impl<'de> Deserializer<'de> for Field {
    type Error = FieldError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match self {
            Self::Json(Value::Null) => Err(FieldError::new(Reason::MissingField)),
            Self::Json(Value::String(text)) | Self::Text(text) => visitor.visit_string(text),
            Self::Repeated => Err(FieldError::new(Reason::InvalidField)),
            Self::Json(other) => {
                other.deserialize_any(visitor).map_err(|_| FieldError::new(Reason::InvalidField))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match self {
            Self::Json(Value::Null) => visitor.visit_none(),
            Self::Text(text) if text.trim().is_empty() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    /// A field that the endpoint does not have, whatever its value.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        visitor.visit_unit()
    }

    parsed! {
        deserialize_bool visit_bool
        deserialize_i64 visit_i64
        deserialize_u16 visit_u16
        deserialize_u32 visit_u32
        deserialize_u64 visit_u64
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct seq tuple
        tuple_struct map struct enum identifier
    }
}

/// Why a field is refused. The field's type can choose the [`Reason`]: it uses the reason's name as its error message,
/// see [`crate::text!`].
#[derive(Debug)]
struct FieldError {
    reason: Reason,
    field: Option<String>,
}

impl FieldError {
    fn new(reason: Reason) -> Self {
        Self { reason, field: None }
    }
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
    use crate::{EmailAddress, Route};

    #[derive(Debug, Deserialize, JsonSchema)]
    struct Body {
        email: EmailAddress,
        #[expect(dead_code, reason = "only shows that a field may be missing")]
        state: Option<String>,
    }

    #[derive(Debug, PartialEq, Eq, Deserialize, JsonSchema)]
    struct Page {
        id: String,
        limit: Option<u32>,
    }

    type Refusal = (Reason, Option<String>);

    fn read<T: Input>(route: Route, request: &lambda_http::Request) -> Result<T, Refusal> {
        T::read(route.http(), request).map_err(|error| (error.reason(), error.details().field.clone()))
    }

    fn read_body(body: &str) -> Result<Body, Refusal> {
        let request =
            http::Request::builder().header(header::CONTENT_TYPE, "application/json; charset=utf-8");
        read(Route::post("/"), &request.body(body.into()).unwrap())
    }

    fn read_page(id: &str, query: &[(&str, &str)]) -> Result<Page, Refusal> {
        let mut values = std::collections::HashMap::<String, Vec<String>>::new();
        for (name, value) in query {
            values.entry((*name).to_owned()).or_default().push((*value).to_owned());
        }
        let path = std::collections::HashMap::from([("id".to_owned(), vec![id.to_owned()])]);
        let request = lambda_http::Request::default();
        let request = request.with_query_string_parameters(values).with_path_parameters(path);
        read(Route::get("/pages/{id}"), &request)
    }

    #[test]
    fn an_error_names_the_field() {
        let email = Some("email".to_owned());
        assert_eq!(read_body("{}").unwrap_err(), (Reason::MissingField, email.clone()));
        assert_eq!(read_body("").unwrap_err(), (Reason::MissingField, email.clone()));
        assert_eq!(read_body(r#"{"email":null}"#).unwrap_err(), (Reason::MissingField, email.clone()));
        assert_eq!(read_body(r#"{"email":" "}"#).unwrap_err(), (Reason::MissingField, email.clone()));
        assert_eq!(read_body(r#"{"email":7}"#).unwrap_err(), (Reason::InvalidField, email.clone()));
        assert_eq!(read_body(r#"{"email":["a@b.cc"]}"#).unwrap_err(), (Reason::InvalidField, email.clone()));
        assert_eq!(read_body(r#"{"email":"jane"}"#).unwrap_err(), (Reason::InvalidEmail, email));
        let state = Some("state".to_owned());
        assert_eq!(read_body(r#"{"email":"a@b.cc","state":{}}"#).unwrap_err(), (Reason::InvalidField, state));
    }

    #[test]
    fn unknown_fields_and_null_options_are_ignored() {
        let input = read_body(r#"{"email":"a@b.cc","state":null,"more":[1],"<script>":null}"#).unwrap();
        assert_eq!(input.email.as_str(), "a@b.cc");
    }

    #[test]
    fn only_a_json_object_within_the_size_limit_is_accepted() {
        assert_eq!(read_body("[]").unwrap_err().0, Reason::InvalidJson);
        assert_eq!(read_body("{").unwrap_err().0, Reason::InvalidJson);
        assert_eq!(read_body(&" ".repeat(MAX_BYTES + 1)).unwrap_err().0, Reason::BodyTooLarge);
        let untyped = http::Request::new("email=a".into());
        assert_eq!(read::<Body>(Route::post("/"), &untyped).unwrap_err().0, Reason::JsonRequired);
    }

    #[test]
    fn path_and_query_are_parsed_into_their_types() {
        let page = |limit| Ok(Page { id: "a b".to_owned(), limit });
        assert_eq!(read_page("a b", &[]), page(None));
        assert_eq!(read_page("a b", &[("limit", ""), ("more", "x"), ("more", "y")]), page(None));
        assert_eq!(read_page("a b", &[("limit", "20"), ("id", "the path wins")]), page(Some(20)));
        let invalid = Err((Reason::InvalidField, Some("limit".to_owned())));
        for limits in [&["-1"][..], &["many"], &["5000000000"], &["1", "2"]] {
            let query: Vec<_> = limits.iter().map(|limit| ("limit", *limit)).collect();
            assert_eq!(read_page("a b", &query), invalid, "{limits:?}");
        }
    }
}
