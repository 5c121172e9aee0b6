//! The two pages that a browser sees: choose who you are, and what went wrong.

use super::directory::User;
use super::request::Query;

const STYLE: &str = "\
:root{color-scheme:light dark;font:1rem/1.5 system-ui,sans-serif}\
body{margin:0;min-height:100vh;display:grid;place-items:center}\
main{width:min(24rem,calc(100vw - 2rem));padding:2rem 0}\
h1{font-size:1.25rem;margin:0 0 .25rem}h2{font-size:1rem;margin:1.5rem 0 .5rem}p{margin:0}\
ul{list-style:none;margin:1rem 0 0;padding:0}\
li a{display:block;padding:.6rem .8rem;margin-bottom:.5rem;border:1px solid GrayText;border-radius:.5rem;\
color:inherit;text-decoration:none}\
li a:hover{border-color:currentColor}li small{display:block;overflow-wrap:anywhere}\
form{display:flex;gap:.5rem}input{flex:1;min-width:0}input,button{font:inherit;padding:.45rem .6rem}\
:focus-visible{outline:3px solid Highlight;outline-offset:2px}";

/// The choice: a link per person, a field for anybody else, a way back. Every choice is the same address again with
/// `login_hint`.
pub(super) fn choose(path: &str, provider: &str, query: &Query, people: &[&User], cancel: &str) -> String {
    let provider = escape(provider);
    let rest: Vec<(&str, &str)> = query.pairs().filter(|(name, _)| *name != "login_hint").collect();
    let choices: String = people
        .iter()
        .map(|user| {
            let mut pairs = url::form_urlencoded::Serializer::new(String::new());
            pairs.extend_pairs(&rest).append_pair("login_hint", &user.email);
            let href = escape(&format!("{path}?{}", pairs.finish()));
            let email = escape(&user.email);
            let names = [user.first_name.as_deref(), user.last_name.as_deref()];
            let name = escape(&names.into_iter().flatten().collect::<Vec<_>>().join(" "));
            if name.is_empty() {
                format!("<li><a href=\"{href}\">{email}</a></li>")
            } else {
                format!("<li><a href=\"{href}\">{name} <small>{email}</small></a></li>")
            }
        })
        .collect();
    let hidden: String = rest
        .iter()
        .map(|(name, value)| {
            format!("<input type=\"hidden\" name=\"{}\" value=\"{}\">", escape(name), escape(value))
        })
        .collect();
    document(
        &format!("Sign in with {provider}"),
        &format!(
            "<h1>Sign in with {provider}</h1>\
             <p>This is the local WorkOS: choose who you are, no password is asked.</p>\
             <ul>{choices}</ul>\
             <h2><label for=\"email\">Somebody else</label></h2>\
             <form action=\"{path}\">{hidden}\
             <input id=\"email\" name=\"login_hint\" type=\"email\" required autocomplete=\"off\" \
             placeholder=\"name@example.com\"><button>Continue</button></form>\
             <p><a href=\"{}\">Cancel</a></p>",
            escape(cancel)
        ),
    )
}

/// What went wrong, where there is nowhere to send the browser.
pub(super) fn problem(message: &str) -> String {
    let message = escape(message);
    document("Sign-in problem", &format!("<h1>This did not work</h1><p role=\"alert\">{message}</p>"))
}

fn document(title: &str, main: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head><body><main>{main}</main></body></html>\n"
    )
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}
