//! The stand-in's API: one table of routes over the state.
//!
//! Owns what every route shares: who asks, refusals, paging, `Link`. Everything runs under the
//! state's lock, one request after the other. Never touches the network.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::render::Render;
use super::state::{Issue, Repo, Role, State};
use super::{copilot, issues, people, pulls};

/// GitHub's default page.
const USUAL_PAGE: usize = 30;

/// A request, taken apart.
pub(super) struct Request<'a> {
    pub method: &'a str,
    /// As it came, without the query.
    pub path: &'a str,
    /// Decoded, without an `/api/v3` in front.
    pub segments: Vec<String>,
    pub query: BTreeMap<String, String>,
    pub body: Value,
    /// Whose token it carries.
    pub caller: Option<String>,
    /// The token itself, where it is not an ordinary one (an App's JWT).
    pub bearer: Option<String>,
    pub root: &'a str,
}

pub(super) struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Value,
}

/// GitHub's no.
pub(super) struct Refusal {
    pub status: u16,
    pub message: String,
    pub errors: Vec<Value>,
}

pub(super) type Outcome = Result<Reply, Refusal>;

impl Reply {
    pub const fn ok(body: Value) -> Self {
        Self { status: 200, headers: Vec::new(), body }
    }

    pub const fn created(body: Value) -> Self {
        Self { status: 201, headers: Vec::new(), body }
    }
}

impl Refusal {
    pub fn new(status: u16, message: &str) -> Self {
        Self { status, message: message.to_owned(), errors: Vec::new() }
    }

    pub fn not_found() -> Self {
        Self::new(404, "Not Found")
    }

    /// A 422 about one field, as GitHub words it.
    pub fn field(resource: &str, field: &str, code: &str) -> Self {
        let error = json!({ "resource": resource, "field": field, "code": code });
        Self { errors: vec![error], ..Self::new(422, "Validation Failed") }
    }

    /// A 422 with a sentence of its own.
    pub fn custom(resource: &str, message: &str) -> Self {
        let error = json!({ "resource": resource, "code": "custom", "message": message });
        Self { errors: vec![error], ..Self::new(422, "Validation Failed") }
    }

    pub fn into_reply(self) -> Reply {
        let mut body = json!({
            "message": self.message, "status": self.status.to_string(),
            "documentation_url": "https://docs.github.com/rest",
        });
        if !self.errors.is_empty() {
            body["errors"] = Value::Array(self.errors);
        }
        Reply { status: self.status, headers: Vec::new(), body }
    }
}

impl Request<'_> {
    pub fn text(&self, field: &str) -> Option<&str> {
        self.body.get(field).and_then(Value::as_str)
    }

    pub fn key(&self) -> String {
        let part = |index: usize| self.segments.get(index).map_or("", String::as_str);
        format!("{}/{}", part(1), part(2)).to_ascii_lowercase()
    }

    pub fn render<'s>(&'s self, state: &'s State) -> Render<'s> {
        Render { state, root: self.root }
    }

    /// The caller, who must be somebody.
    pub fn someone(&self) -> Result<String, Refusal> {
        self.caller.clone().ok_or_else(|| Refusal::new(401, "Requires authentication"))
    }

    /// The caller, who must have at least this role here.
    pub fn with_role(&self, repo: &Repo, least: Role) -> Result<String, Refusal> {
        let caller = self.someone()?;
        if repo.role(&caller).is_some_and(|role| role >= least) {
            Ok(caller)
        } else {
            Err(Refusal::new(403, "Resource not accessible by personal access token"))
        }
    }

    /// The repository in the path, if the caller may see it.
    pub fn repo<'s>(&self, state: &'s State) -> Result<&'s Repo, Refusal> {
        let repo = state.repos.get(&self.key()).ok_or_else(Refusal::not_found)?;
        let sees = self.caller.as_ref().is_some_and(|login| repo.role(login).is_some());
        if repo.private && !sees { Err(Refusal::not_found()) } else { Ok(repo) }
    }

    /// The issue or pull request whose number is the given segment.
    pub fn issue<'s>(
        &self,
        state: &'s State,
        number: &str,
    ) -> Result<(&'s Repo, &'s Issue), Refusal> {
        let repo = self.repo(state)?;
        let number: u64 = number.parse().map_err(|_| Refusal::not_found())?;
        let issue = repo.issues.get(&number).ok_or_else(Refusal::not_found)?;
        Ok((repo, issue))
    }

    /// One page of a listing, with its `Link`.
    pub fn page(&self, state: &State, items: &[Value]) -> Reply {
        let number = |name: &str| self.query.get(name).and_then(|text| text.parse::<usize>().ok());
        let size = number("per_page").unwrap_or(USUAL_PAGE).clamp(1, state.page_cap);
        let page = number("page").unwrap_or(1).max(1);
        let last = items.len().div_ceil(size).max(1);
        let shown: Vec<Value> = items.iter().skip((page - 1) * size).take(size).cloned().collect();
        let origin = state.link_origin.as_deref().unwrap_or(self.root);
        let link = |page: usize, rel: &str| {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            for (key, value) in self.query.iter().filter(|(key, _)| *key != "page") {
                query.append_pair(key, value);
            }
            query.append_pair("page", &page.to_string());
            format!("<{origin}{}?{}>; rel=\"{rel}\"", self.path, query.finish())
        };
        let mut links = Vec::new();
        if page > 1 {
            links.extend([link(page - 1, "prev"), link(1, "first")]);
        }
        if page < last {
            links.extend([link(page + 1, "next"), link(last, "last")]);
        }
        let mut reply = Reply::ok(Value::Array(shown));
        if !links.is_empty() {
            reply.headers.push(("link".to_owned(), links.join(", ")));
        }
        reply
    }
}

/// The table of routes. `None`: there is no such route here.
pub(super) fn route(state: &mut State, request: &Request<'_>) -> Option<Outcome> {
    let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
    let outcome = match (request.method, segments.as_slice()) {
        ("POST", ["graphql"]) => copilot::graphql(state, request),
        ("GET", ["user"]) => people::user(state, request),
        ("GET", ["app"]) => people::app(state, request),
        ("POST", ["app", "installations", id, "access_tokens"]) => {
            people::installation_token(state, request, id)
        }
        ("GET", ["repos", _, _, "installation"]) => people::installation(state, request),
        ("GET", ["repos", _, _, "collaborators", login, "permission"]) => {
            people::permission(state, request, login)
        }
        ("GET", ["repos", _, _]) => request
            .repo(state)
            .map(|repo| Reply::ok(request.render(state).repo(repo, request.caller.as_deref()))),
        ("GET", ["repos", _, _, "issues"]) => issues::list(state, request),
        ("POST", ["repos", _, _, "issues"]) => issues::create(state, request),
        ("GET", ["repos", _, _, "issues", "comments", id]) => {
            issues::read_comment(state, request, id)
        }
        ("PATCH", ["repos", _, _, "issues", "comments", id]) => {
            issues::edit_comment(state, request, id)
        }
        ("DELETE", ["repos", _, _, "issues", "comments", id]) => {
            issues::delete_comment(state, request, id)
        }
        ("GET", ["repos", _, _, "issues", number]) => issues::read(state, request, number),
        ("PATCH", ["repos", _, _, "issues", number]) => issues::edit(state, request, number),
        ("GET", ["repos", _, _, "issues", number, "comments"]) => {
            issues::comments(state, request, number)
        }
        ("POST", ["repos", _, _, "issues", number, "comments"]) => {
            issues::comment(state, request, number)
        }
        ("GET", ["repos", _, _, "issues", number, "events"]) => {
            issues::events(state, request, number)
        }
        ("GET", ["repos", _, _, "issues", number, "timeline"]) => {
            copilot::tick(state, &request.key(), number);
            issues::timeline(state, request, number)
        }
        ("POST", ["repos", _, _, "issues", number, "assignees"]) => {
            copilot::assign(state, request, number)
        }
        ("DELETE", ["repos", _, _, "issues", number, "assignees"]) => {
            copilot::unassign(state, request, number)
        }
        ("GET", ["repos", _, _, "issues", number, "labels"]) => {
            issues::labels(state, request, number)
        }
        ("POST", ["repos", _, _, "issues", number, "labels"]) => {
            issues::add_labels(state, request, number)
        }
        ("DELETE", ["repos", _, _, "issues", number, "labels", name]) => {
            issues::remove_label(state, request, number, name)
        }
        ("GET", ["repos", _, _, "issues", number, "dependencies", "blocked_by"]) if state.edges => {
            issues::blocked_by(state, request, number)
        }
        ("POST", ["repos", _, _, "issues", number, "dependencies", "blocked_by"])
            if state.edges =>
        {
            issues::block(state, request, number)
        }
        ("GET", ["repos", _, _, "issues", number, "sub_issues"]) if state.edges => {
            issues::sub_issues(state, request, number)
        }
        ("GET", ["repos", _, _, "labels"]) => issues::all_labels(state, request),
        ("GET", ["repos", _, _, "pulls"]) => pulls::list(state, request),
        ("POST", ["repos", _, _, "pulls"]) => pulls::create(state, request),
        ("GET", ["repos", _, _, "pulls", number]) => pulls::read(state, request, number),
        ("PATCH", ["repos", _, _, "pulls", number]) => pulls::edit(state, request, number),
        _ => return None,
    };
    Some(outcome)
}
