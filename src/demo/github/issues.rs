//! Routes of issues, their comments, labels and edges, as strict as GitHub's.

use chrono::DateTime;
use serde_json::{Value, json};

use super::api::{Outcome, Refusal, Reply, Request};
use super::copilot::Agent;
use super::render::association;
use super::state::{Comment, Issue, Repo, Role, State};

/// GitHub's bound of a text, in characters.
const LONGEST_TEXT: usize = 65_536;
/// GitHub's bound of a title, in characters.
const LONGEST_TITLE: usize = 256;

pub(super) fn list(state: &State, request: &Request<'_>) -> Outcome {
    let repo = request.repo(state)?;
    let asked = |name: &str, default: &'static str| {
        request.query.get(name).map_or(default, String::as_str).to_owned()
    };
    let wanted = asked("state", "open");
    let labels = asked("labels", "");
    let labels: Vec<&str> = labels.split(',').filter(|label| !label.is_empty()).collect();
    let since = asked("since", "");
    let since = DateTime::parse_from_rfc3339(&since).ok();
    let mut found: Vec<&Issue> = repo
        .issues
        .values()
        .filter(|issue| match wanted.as_str() {
            "all" => true,
            "closed" => !issue.open,
            _ => issue.open,
        })
        .filter(|issue| {
            labels
                .iter()
                .all(|label| issue.labels.iter().any(|has| has.eq_ignore_ascii_case(label)))
        })
        .filter(|issue| since.is_none_or(|since| issue.updated_at >= since))
        .collect();
    match asked("sort", "created").as_str() {
        "updated" => found.sort_by_key(|issue| (issue.updated_at, issue.number)),
        "comments" => found.sort_by_key(|issue| (issue.comments.len(), issue.number)),
        _ => found.sort_by_key(|issue| (issue.created_at, issue.number)),
    }
    if asked("direction", "desc") != "asc" {
        found.reverse();
    }
    let render = request.render(state);
    let items: Vec<Value> = found.into_iter().map(|issue| render.issue(repo, issue)).collect();
    Ok(request.page(state, &items))
}

pub(super) fn read(state: &State, request: &Request<'_>, number: &str) -> Outcome {
    let (repo, issue) = request.issue(state, number)?;
    Ok(Reply::ok(request.render(state).issue(repo, issue)))
}

pub(super) fn create(state: &mut State, request: &Request<'_>) -> Outcome {
    let repo = request.repo(state)?;
    let caller = request.someone()?;
    let title = title_in(request, "Issue")?.ok_or_else(|| missing("Issue", "title"))?;
    let body = text_in(request, "Issue")?;
    // Labels of one who may not label are dropped in silence, as GitHub does.
    let may_label = repo.role(&caller).is_some_and(|role| role >= Role::Triage);
    let labels = if may_label { label_names(&request.body["labels"]) } else { Vec::new() };
    let (number, seen_as) = (repo.next_number(), association(repo, &caller).to_owned());
    let (id, now, key) = (state.next_id(), state.moment(), request.key());
    let issue = Issue {
        number,
        id,
        title,
        body,
        open: true,
        labels: Vec::new(),
        author: Some(caller.clone()),
        association: seen_as,
        milestone_due: None,
        created_at: now,
        updated_at: now,
        closed_at: None,
        blocked_by: Vec::new(),
        sub_issues: Vec::new(),
        comments: Vec::new(),
        label_changes: Vec::new(),
        pull: None,
        agent: Agent::default(),
    };
    state.repos.get_mut(&key).ok_or_else(Refusal::not_found)?.issues.insert(number, issue);
    for label in &labels {
        state.set_label(&key, number, label, true, &caller);
    }
    let mut reply = read(state, request, &number.to_string())?;
    reply.status = 201;
    Ok(reply)
}

pub(super) fn edit(state: &mut State, request: &Request<'_>, number: &str) -> Outcome {
    let (repo, issue) = request.issue(state, number)?;
    let caller = by_author_or(request, repo, issue.author.as_deref(), Role::Triage)?;
    let title = title_in(request, "Issue")?;
    let body = text_in(request, "Issue")?;
    let open = match request.text("state") {
        None => None,
        Some("open") => Some(true),
        Some("closed") => Some(false),
        Some(_) => return Err(Refusal::field("Issue", "state", "invalid")),
    };
    let labels = request.body.get("labels").map(label_names);
    let (had, number) = (issue.labels.clone(), issue.number);
    let (now, key) = (state.moment(), request.key());
    let issue = issue_mut(state, &key, number)?;
    if title.as_ref().is_some_and(|title| *title != issue.title) {
        issue.agent.renamed.push(now);
    }
    if body.is_some() && body != issue.body {
        issue.agent.last_edited = Some(now);
    }
    issue.title = title.unwrap_or_else(|| issue.title.clone());
    issue.body = body.or_else(|| issue.body.take());
    issue.updated_at = now;
    if let Some(open) = open {
        issue.closed_at = if open { None } else { issue.closed_at.or(Some(now)) };
        issue.open = open;
    }
    if let Some(wanted) = labels {
        let alike = |one: &str, list: &[String]| list.iter().any(|x| x.eq_ignore_ascii_case(one));
        for label in had.iter().filter(|label| !alike(label, &wanted)) {
            state.set_label(&key, number, label, false, &caller);
        }
        for label in &wanted {
            state.set_label(&key, number, label, true, &caller);
        }
    }
    read(state, request, &number.to_string())
}

pub(super) fn comments(state: &State, request: &Request<'_>, number: &str) -> Outcome {
    let (repo, issue) = request.issue(state, number)?;
    let render = request.render(state);
    let items: Vec<Value> =
        issue.comments.iter().map(|comment| render.comment(repo, issue, comment)).collect();
    Ok(request.page(state, &items))
}

pub(super) fn comment(state: &mut State, request: &Request<'_>, number: &str) -> Outcome {
    let (_, issue) = request.issue(state, number)?;
    let (author, number) = (Some(request.someone()?), issue.number);
    let body = said_something(request)?;
    let (id, now) = (state.next_id(), state.moment());
    let issue = issue_mut(state, &request.key(), number)?;
    issue.updated_at = now;
    let said = body.clone();
    issue.comments.push(Comment { id, author, body, created_at: now, updated_at: now });
    let caller = request.someone()?;
    super::copilot::hear(state, &request.key(), number, &caller, &said);
    let mut reply = read_comment(state, request, &id.to_string())?;
    reply.status = 201;
    Ok(reply)
}

fn comment_at<'s>(
    state: &'s State,
    request: &Request<'_>,
    id: &str,
) -> Result<(&'s Repo, &'s Issue, &'s Comment), Refusal> {
    let repo = request.repo(state)?;
    let id: u64 = id.parse().map_err(|_| Refusal::not_found())?;
    repo.issues
        .values()
        .find_map(|issue| {
            let comment = issue.comments.iter().find(|comment| comment.id == id)?;
            Some((repo, issue, comment))
        })
        .ok_or_else(Refusal::not_found)
}

pub(super) fn read_comment(state: &State, request: &Request<'_>, id: &str) -> Outcome {
    let (repo, issue, comment) = comment_at(state, request, id)?;
    Ok(Reply::ok(request.render(state).comment(repo, issue, comment)))
}

pub(super) fn edit_comment(state: &mut State, request: &Request<'_>, id: &str) -> Outcome {
    let (repo, issue, comment) = comment_at(state, request, id)?;
    by_author_or(request, repo, comment.author.as_deref(), Role::Write)?;
    let body = said_something(request)?;
    let (number, comment) = (issue.number, comment.id);
    let now = state.moment();
    let issue = issue_mut(state, &request.key(), number)?;
    if let Some(found) = issue.comments.iter_mut().find(|found| found.id == comment) {
        found.body = body;
        found.updated_at = now;
    }
    read_comment(state, request, id)
}

pub(super) fn delete_comment(state: &mut State, request: &Request<'_>, id: &str) -> Outcome {
    let (repo, issue, comment) = comment_at(state, request, id)?;
    by_author_or(request, repo, comment.author.as_deref(), Role::Write)?;
    let (number, comment) = (issue.number, comment.id);
    issue_mut(state, &request.key(), number)?.comments.retain(|found| found.id != comment);
    Ok(Reply { status: 204, headers: Vec::new(), body: Value::Null })
}

pub(super) fn events(state: &State, request: &Request<'_>, number: &str) -> Outcome {
    let (repo, issue) = request.issue(state, number)?;
    let render = request.render(state);
    let changes = issue.label_changes.iter();
    let mut items: Vec<Value> = changes.map(|change| render.label_change(repo, change)).collect();
    let renamed = issue.agent.renamed.iter();
    items.extend(renamed.map(|at| json!({ "event": "renamed", "created_at": at })));
    Ok(request.page(state, &items))
}

/// Label changes and comments in the order they happened.
pub(super) fn timeline(state: &State, request: &Request<'_>, number: &str) -> Outcome {
    let (repo, issue) = request.issue(state, number)?;
    let render = request.render(state);
    let changes =
        issue.label_changes.iter().map(|change| (change.at, render.label_change(repo, change)));
    let comments = issue.comments.iter().map(|comment| {
        let mut item = render.comment(repo, issue, comment);
        item["event"] = json!("commented");
        item["actor"] = item["user"].clone();
        (comment.created_at, item)
    });
    let told = super::copilot::told(request, state, issue);
    let mut items: Vec<_> = changes.chain(comments).chain(told).collect();
    items.sort_by_key(|(at, _)| *at);
    let items: Vec<Value> = items.into_iter().map(|(_, item)| item).collect();
    Ok(request.page(state, &items))
}

pub(super) fn labels(state: &State, request: &Request<'_>, number: &str) -> Outcome {
    let (repo, issue) = request.issue(state, number)?;
    let render = request.render(state);
    let items: Vec<Value> = issue.labels.iter().map(|name| render.label(repo, name)).collect();
    Ok(request.page(state, &items))
}

pub(super) fn add_labels(state: &mut State, request: &Request<'_>, number: &str) -> Outcome {
    let (repo, issue) = request.issue(state, number)?;
    let (caller, number_found) = (request.with_role(repo, Role::Triage)?, issue.number);
    // Both `{"labels": [..]}` and a bare list are accepted, as on GitHub.
    let names = label_names(request.body.get("labels").unwrap_or(&request.body));
    if names.is_empty() {
        return Err(missing("Label", "labels"));
    }
    for label in &names {
        state.set_label(&request.key(), number_found, label, true, &caller);
    }
    labels(state, request, number)
}

pub(super) fn remove_label(
    state: &mut State,
    request: &Request<'_>,
    number: &str,
    name: &str,
) -> Outcome {
    let (repo, issue) = request.issue(state, number)?;
    let (caller, number_found) = (request.with_role(repo, Role::Triage)?, issue.number);
    if !issue.labels.iter().any(|has| has.eq_ignore_ascii_case(name)) {
        return Err(Refusal::new(404, "Label does not exist"));
    }
    state.set_label(&request.key(), number_found, name, false, &caller);
    labels(state, request, number)
}

pub(super) fn all_labels(state: &State, request: &Request<'_>) -> Outcome {
    let repo = request.repo(state)?;
    let names: std::collections::BTreeSet<&String> =
        repo.issues.values().flat_map(|issue| &issue.labels).collect();
    let render = request.render(state);
    let items: Vec<Value> = names.into_iter().map(|name| render.label(repo, name)).collect();
    Ok(request.page(state, &items))
}

pub(super) fn blocked_by(state: &State, request: &Request<'_>, number: &str) -> Outcome {
    let (repo, issue) = request.issue(state, number)?;
    let render = request.render(state);
    let items: Vec<Value> = issue
        .blocked_by
        .iter()
        .filter_map(|reference| render.find(repo, reference))
        .map(|(home, blocker)| render.issue(home, blocker))
        .collect();
    Ok(request.page(state, &items))
}

/// Adds an edge; as on GitHub the blocker is named by its id, not its number.
pub(super) fn block(state: &mut State, request: &Request<'_>, number: &str) -> Outcome {
    let (repo, issue) = request.issue(state, number)?;
    request.with_role(repo, Role::Triage)?;
    let id = request.body.get("issue_id").and_then(Value::as_u64);
    let id = id.ok_or_else(|| missing("IssueDependency", "issue_id"))?;
    let blocker = repo.issues.values().find(|blocker| blocker.id == id && blocker.pull.is_none());
    let blocker = blocker.ok_or_else(Refusal::not_found)?.number;
    let number = issue.number;
    let edge = (None, blocker);
    if blocker == number || issue.blocked_by.contains(&edge) {
        let message = "Target issue has already been taken";
        return Err(Refusal::custom("IssueDependency", message));
    }
    let now = state.moment();
    let issue = issue_mut(state, &request.key(), number)?;
    issue.blocked_by.push(edge);
    issue.updated_at = now;
    let mut reply = read(state, request, &number.to_string())?;
    reply.status = 201;
    Ok(reply)
}

pub(super) fn sub_issues(state: &State, request: &Request<'_>, number: &str) -> Outcome {
    let (repo, issue) = request.issue(state, number)?;
    let render = request.render(state);
    let items: Vec<Value> = issue
        .sub_issues
        .iter()
        .filter_map(|child| repo.issues.get(child))
        .map(|child| render.issue(repo, child))
        .collect();
    Ok(request.page(state, &items))
}

/// The caller, who wrote it or has at least this role.
pub(super) fn by_author_or(
    request: &Request<'_>,
    repo: &Repo,
    author: Option<&str>,
    least: Role,
) -> Result<String, Refusal> {
    let caller = request.someone()?;
    if author.is_some_and(|author| author.eq_ignore_ascii_case(&caller)) {
        return Ok(caller);
    }
    request.with_role(repo, least)
}

pub(super) fn issue_mut<'s>(
    state: &'s mut State,
    key: &str,
    number: u64,
) -> Result<&'s mut Issue, Refusal> {
    let repo = state.repos.get_mut(key).ok_or_else(Refusal::not_found)?;
    repo.issues.get_mut(&number).ok_or_else(Refusal::not_found)
}

pub(super) fn missing(resource: &str, field: &str) -> Refusal {
    Refusal::field(resource, field, "missing_field")
}

/// A title that GitHub takes, if one was sent.
pub(super) fn title_in(request: &Request<'_>, resource: &str) -> Result<Option<String>, Refusal> {
    match request.text("title") {
        None => Ok(None),
        Some(title) if title.trim().is_empty() => Err(missing(resource, "title")),
        Some(title) if title.chars().count() > LONGEST_TITLE => {
            Err(Refusal::custom(resource, "title is too long (maximum is 256 characters)"))
        }
        Some(title) => Ok(Some(title.to_owned())),
    }
}

/// A body that GitHub takes, if one was sent.
pub(super) fn text_in(request: &Request<'_>, resource: &str) -> Result<Option<String>, Refusal> {
    match request.text("body") {
        Some(body) if body.chars().count() > LONGEST_TEXT => {
            Err(Refusal::custom(resource, "body is too long (maximum is 65536 characters)"))
        }
        body => Ok(body.map(str::to_owned)),
    }
}

fn said_something(request: &Request<'_>) -> Result<String, Refusal> {
    let body = text_in(request, "IssueComment")?.filter(|body| !body.trim().is_empty());
    body.ok_or_else(|| missing("IssueComment", "body"))
}

fn label_names(list: &Value) -> Vec<String> {
    let name = |item: &Value| item.as_str().or_else(|| item["name"].as_str()).map(str::to_owned);
    list.as_array().into_iter().flatten().filter_map(name).collect()
}
