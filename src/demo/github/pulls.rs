//! Routes of pull requests. What GitHub would refuse is refused here, asked of the real
//! repository: missing branches, nothing to merge, a second one for the same branches.

use serde_json::Value;

use super::api::{Outcome, Refusal, Reply, Request};
use super::copilot::Agent;
use super::issues::{by_author_or, issue_mut, missing, text_in, title_in};
use super::render::association;
use super::state::{Issue, Pull, Repo, Role, State};

pub(super) fn list(state: &mut State, request: &Request<'_>) -> Outcome {
    follow(state, request)?;
    let repo = request.repo(state)?;
    let asked = |name: &str| request.query.get(name).map(String::as_str);
    let (wanted, base) = (asked("state").unwrap_or("open"), asked("base"));
    // `owner:branch`; GitHub ignores a filter without an owner.
    let head = asked("head").and_then(|head| head.split_once(':'));
    let matches = |issue: &&Issue| {
        let Some(pull) = &issue.pull else { return false };
        let in_state = match wanted {
            "all" => true,
            "closed" => !issue.open,
            _ => issue.open,
        };
        in_state
            && base.is_none_or(|base| pull.base == base)
            && head.is_none_or(|(owner, branch)| {
                owner.eq_ignore_ascii_case(repo.name.owner()) && pull.head == branch
            })
    };
    let render = request.render(state);
    let mut items: Vec<Value> = repo
        .issues
        .values()
        .filter(matches)
        .filter_map(|issue| Some(render.pull(repo, issue, issue.pull.as_ref()?)))
        .collect();
    if asked("direction") != Some("asc") {
        items.reverse();
    }
    Ok(request.page(state, &items))
}

pub(super) fn read(state: &mut State, request: &Request<'_>, number: &str) -> Outcome {
    follow(state, request)?;
    shown(state, request, number)
}

fn shown(state: &State, request: &Request<'_>, number: &str) -> Outcome {
    let (repo, issue) = request.issue(state, number)?;
    let pull = issue.pull.as_ref().ok_or_else(Refusal::not_found)?;
    Ok(Reply::ok(request.render(state).pull(repo, issue, pull)))
}

pub(super) fn create(state: &mut State, request: &Request<'_>) -> Outcome {
    follow(state, request)?;
    let repo = request.repo(state)?;
    let caller = request.with_role(repo, Role::Write)?;
    let title = title_in(request, "PullRequest")?.ok_or_else(|| missing("PullRequest", "title"))?;
    let body = text_in(request, "PullRequest")?;
    let branch = |field: &str| {
        let named = request.text(field).filter(|name| !name.is_empty());
        named.map(str::to_owned).ok_or_else(|| missing("PullRequest", field))
    };
    let (head, base) = (branch("head")?, branch("base")?);
    let head = match head.split_once(':') {
        Some((owner, branch)) if owner.eq_ignore_ascii_case(repo.name.owner()) => branch.to_owned(),
        // A fork; the stand-in has none.
        Some(_) => return Err(Refusal::field("PullRequest", "head", "invalid")),
        None => head,
    };
    let pull = acceptable(repo, head, base)?;
    let (number, seen_as) = (repo.next_number(), association(repo, &caller).to_owned());
    let (id, now) = (state.next_id(), state.moment());
    let repo = state.repos.get_mut(&request.key()).ok_or_else(Refusal::not_found)?;
    let tip = format!("refs/pull/{number}/head");
    repo.origin.set_ref(&tip, &pull.head_sha).map_err(|error| broken(&error))?;
    let issue = Issue {
        number,
        id,
        title,
        body,
        open: true,
        labels: Vec::new(),
        author: Some(caller),
        association: seen_as,
        milestone_due: None,
        created_at: now,
        updated_at: now,
        closed_at: None,
        blocked_by: Vec::new(),
        sub_issues: Vec::new(),
        comments: Vec::new(),
        label_changes: Vec::new(),
        pull: Some(pull),
        agent: Agent::default(),
    };
    repo.issues.insert(number, issue);
    let mut reply = shown(state, request, &number.to_string())?;
    reply.status = 201;
    Ok(reply)
}

/// GitHub's rules for a pair of branches.
fn acceptable(repo: &Repo, head: String, base: String) -> Result<Pull, Refusal> {
    let branches = repo.origin.branches();
    let tip = |field: &str, branch: &str| {
        let tip = branches.get(branch).cloned();
        tip.ok_or_else(|| Refusal::field("PullRequest", field, "invalid"))
    };
    let (head_sha, base_sha) = (tip("head", &head)?, tip("base", &base)?);
    let refused = |message: String| Err(Refusal::custom("PullRequest", &message));
    let taken = repo.issues.values().filter(|issue| issue.open).any(|issue| {
        issue.pull.as_ref().is_some_and(|pull| pull.head == head && pull.base == base)
    });
    if taken {
        let owner = repo.name.owner();
        return refused(format!("A pull request already exists for {owner}:{head}."));
    }
    let Some(fork_point) = repo.origin.merge_base(&base_sha, &head_sha) else {
        return refused(format!("The {head} branch has no history in common with {base}"));
    };
    let nothing = repo.origin.is_ancestor(&head_sha, &base_sha)
        || repo.origin.same_tree(&fork_point, &head_sha);
    if nothing {
        return refused(format!("No commits between {base} and {head}"));
    }
    Ok(Pull { head, base, head_sha, base_sha, merged_at: None, merge_commit: None })
}

pub(super) fn edit(state: &mut State, request: &Request<'_>, number: &str) -> Outcome {
    follow(state, request)?;
    let (repo, issue) = request.issue(state, number)?;
    let old = issue.pull.as_ref().ok_or_else(Refusal::not_found)?;
    by_author_or(request, repo, issue.author.as_deref(), Role::Write)?;
    let title = title_in(request, "PullRequest")?;
    let body = text_in(request, "PullRequest")?;
    let open = match request.text("state") {
        None => issue.open,
        Some("open") if old.merged_at.is_some() => {
            return Err(Refusal::custom("PullRequest", "state cannot be changed: it is merged"));
        }
        Some("open") => true,
        Some("closed") => false,
        Some(_) => return Err(Refusal::field("PullRequest", "state", "invalid")),
    };
    let base = match request.text("base") {
        Some(base) if base != old.base => {
            let tip = repo.origin.tip(base);
            let tip = tip.ok_or_else(|| Refusal::field("PullRequest", "base", "invalid"))?;
            Some((base.to_owned(), tip))
        }
        Some(_) | None => None,
    };
    let (number_found, now) = (issue.number, state.moment());
    let issue = issue_mut(state, &request.key(), number_found)?;
    issue.title = title.unwrap_or_else(|| issue.title.clone());
    issue.body = body.or_else(|| issue.body.take());
    issue.closed_at = if open { None } else { issue.closed_at.or(Some(now)) };
    issue.open = open;
    issue.updated_at = now;
    if let (Some(pull), Some((base, tip))) = (&mut issue.pull, base) {
        (pull.base, pull.base_sha) = (base, tip);
    }
    shown(state, request, number)
}

/// The tips as they are in the repository now.
fn follow(state: &mut State, request: &Request<'_>) -> Result<(), Refusal> {
    request.repo(state)?;
    let now = state.now();
    let repo = state.repos.get_mut(&request.key()).ok_or_else(Refusal::not_found)?;
    repo.follow_branches(now);
    Ok(())
}

fn broken(error: &std::io::Error) -> Refusal {
    Refusal::new(500, &format!("the stand-in's repository failed: {error}"))
}
