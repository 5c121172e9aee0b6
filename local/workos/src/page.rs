//! Responses for browsers: the sign-in page, the error page, and redirects.

use axum::response::{Html, IntoResponse, Response};
use http::{StatusCode, header};
use url::form_urlencoded;

use super::model::User;
use super::request::Query;

/// The sign-in page: the users, each with the codes that an application may ask for next. Every choice repeats the
/// request with a `login_hint`.
pub(super) fn choose(
    path: &str,
    provider: &str,
    query: &Query,
    users: &[(&User, Vec<String>)],
    cancel: &str,
) -> Response {
    let rest: Vec<_> = query.0.iter().filter(|(name, _)| name != "login_hint").collect();
    let choice = |(user, codes): &(&User, Vec<String>)| {
        let pairs = rest.iter().map(|(name, value)| (name, value));
        let mut query = form_urlencoded::Serializer::new(String::new());
        let query = query.extend_pairs(pairs).append_pair("login_hint", &user.email).finish();
        let name =
            [&user.first_name, &user.last_name].into_iter().flatten().cloned().collect::<Vec<_>>().join(" ");
        let (href, name, email) = (escape(&format!("{path}?{query}")), escape(&name), escape(&user.email));
        let label = if name.is_empty() { email } else { format!("{name} <small>{email}</small>") };
        let codes: String = codes.iter().map(|code| format!(" <small>{}</small>", escape(code))).collect();
        format!("<li><a href=\"{href}\">{label}</a>{codes}</li>")
    };
    let hidden = |(name, value): &&(String, String)| {
        format!("<input type=\"hidden\" name=\"{}\" value=\"{}\">", escape(name), escape(value))
    };
    let provider = escape(provider);
    let main = format!(
        include_str!("choose.html"),
        provider = provider,
        choices = users.iter().map(choice).collect::<String>(),
        path = path,
        hidden = rest.iter().map(hidden).collect::<String>(),
        cancel = escape(cancel),
    );
    document(&format!("Sign in with {provider}"), &main).into_response()
}

/// 400, when the browser cannot be redirected.
pub(super) fn problem(message: &str) -> Response {
    let main = format!("<h1>Sign-in failed</h1><p role=\"alert\">{}</p>", escape(message));
    (StatusCode::BAD_REQUEST, document("Sign-in problem", &main)).into_response()
}

/// 302 to `uri`.
pub(super) fn found(uri: String) -> Response {
    (StatusCode::FOUND, [(header::LOCATION, uri)]).into_response()
}

fn document(title: &str, main: &str) -> Html<String> {
    Html(format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{title}</title><style>{}</style></head><body><main>{main}</main></body></html>\n",
        include_str!("page.css")
    ))
}

fn escape(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    escaped.replace('"', "&quot;").replace('\'', "&#39;")
}
