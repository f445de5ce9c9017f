//! Plain pages for a person who follows a link of the demo: a repository, an issue, a pull
//! request with its diff.
//!
//! Only reads. Everything shown is escaped: titles, texts and diffs are untrusted.

use super::api::Request;
use super::state::{Issue, Repo, State};

/// The page at a path, if that is one of a public repository.
pub(super) fn page(state: &State, request: &Request<'_>) -> Option<String> {
    let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
    let (owner, name, rest) = match segments.as_slice() {
        [owner, name, rest @ ..] if request.method == "GET" => (owner, name, rest),
        _ => return None,
    };
    let repo = state.repos.get(&format!("{owner}/{name}").to_ascii_lowercase())?;
    if repo.private {
        return None;
    }
    let (title, content) = match rest {
        [] => (repo.name.to_string(), overview(repo)),
        ["issues" | "pull", number] => {
            let issue = repo.issues.get(&number.parse().ok()?)?;
            (format!("{} #{number}", repo.name), single(repo, issue))
        }
        _ => return None,
    };
    let style = "body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}\
        pre{background:#f6f8fa;padding:1rem;overflow-x:auto;white-space:pre-wrap}\
        small{color:#57606a}";
    Some(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
         <style>{style}</style><p><small>the stand-in GitHub of <code>foreman demo</code></small></p>\
         <p><a href=\"/{repo}\">{repo}</a></p>{content}</html>",
        title = escaped(&title),
        repo = escaped(&repo.name.to_string()),
    ))
}

fn overview(repo: &Repo) -> String {
    let row = |issue: &Issue| {
        let kind = if issue.pull.is_some() { "pull" } else { "issues" };
        format!(
            "<li><a href=\"/{}/{kind}/{number}\">#{number} {}</a> <small>{}</small></li>",
            escaped(&repo.name.to_string()),
            escaped(&issue.title),
            standing(issue),
            number = issue.number,
        )
    };
    let rows = |pulls: bool| -> String {
        repo.issues.values().filter(|issue| issue.pull.is_some() == pulls).map(row).collect()
    };
    format!("<h2>Pull requests</h2><ul>{}</ul><h2>Issues</h2><ul>{}</ul>", rows(true), rows(false))
}

fn single(repo: &Repo, issue: &Issue) -> String {
    let who = |login: &Option<String>| escaped(login.as_deref().unwrap_or("ghost"));
    let mut out = format!(
        "<h1>{} <small>#{}</small></h1><p><small>{} · by {}</small></p>",
        escaped(&issue.title),
        issue.number,
        standing(issue),
        who(&issue.author),
    );
    if let Some(pull) = &issue.pull {
        let (head, base) = (escaped(&pull.head), escaped(&pull.base));
        out.push_str(&format!("<p><code>{head}</code> into <code>{base}</code></p>"));
    }
    out.push_str(&format!("<pre>{}</pre>", escaped(issue.body.as_deref().unwrap_or_default())));
    for comment in &issue.comments {
        let (author, body) = (who(&comment.author), escaped(&comment.body));
        out.push_str(&format!("<h3>{author} wrote</h3><pre>{body}</pre>"));
    }
    if let Some(pull) = &issue.pull {
        let diff = repo.origin.diff(&pull.base_sha, &pull.head_sha);
        out.push_str(&format!("<h3>Changes</h3><pre>{}</pre>", escaped(&diff)));
    }
    out
}

fn standing(issue: &Issue) -> &'static str {
    let merged = issue.pull.as_ref().is_some_and(|pull| pull.merged_at.is_some());
    match (issue.open, merged) {
        (true, _) => "open",
        (false, true) => "merged",
        (false, false) => "closed",
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
