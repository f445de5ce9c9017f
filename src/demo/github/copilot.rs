//! The stand-in's Copilot: takes issues that are assigned to it, opens a draft at once, works by a
//! script, and tells of it in the timeline as GitHub's does.
//!
//! It acts when its pull request's timeline is read, never by the clock. As strict as GitHub: it is
//! assigned only where it is switched on and by a user who may push; otherwise GitHub says 201 and
//! assigns nobody.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::FakeGitHub;
use super::api::{Outcome, Refusal, Reply, Request};
use super::issues::{issue_mut, missing};
use super::origin::FileEdit;
use super::state::{Issue, Pull, Role, State};
use crate::domain::ids::RepoName;

/// Its login where it is assigned and where it acts.
pub(super) const ASSIGNEE: &str = "copilot-swe-agent[bot]";
pub(super) const ACTOR: &str = "Copilot";

/// What it is asked.
#[derive(Debug, Clone)]
pub struct CopilotTask {
    pub issue: u64,
    /// 0 is the assignment; each comment that mentions it is one more.
    pub round: u32,
    /// The custom instructions, or the comment.
    pub prompt: String,
}

/// What it does.
#[derive(Debug, Clone)]
pub enum CopilotAct {
    /// Changes these files (`None` deletes one) and says it is done.
    Finish(Vec<(String, Option<String>)>),
    /// Says that it failed.
    GiveUp,
    /// Is assigned, and nothing ever comes.
    Nothing,
    /// Opens its draft and never gets done.
    Idle,
}

/// The function that decides what it does.
pub type CopilotScript = Arc<dyn Fn(&CopilotTask) -> CopilotAct + Send + Sync>;

/// What the stand-in keeps of an issue or pull request for it.
#[derive(Debug, Clone, Default)]
pub(super) struct Agent {
    pub assignees: Vec<String>,
    /// Pull requests that refer to the issue, and since when.
    pub references: Vec<(u64, DateTime<Utc>)>,
    /// `copilot_work_started` and the like.
    pub told: Vec<(&'static str, DateTime<Utc>)>,
    pub draft: bool,
    pub last_edited: Option<DateTime<Utc>>,
    pub renamed: Vec<DateTime<Utc>>,
    /// Of a pull request of its own: the issue, the rounds so far, and what it is about to do.
    works_on: Option<u64>,
    round: u32,
    about_to: Option<CopilotAct>,
}

impl FakeGitHub {
    /// Switches Copilot on, with the script by which it works.
    pub fn enable_copilot(
        &self,
        script: impl Fn(&CopilotTask) -> CopilotAct + Send + Sync + 'static,
    ) {
        self.state().copilot = Some(Arc::new(script));
    }

    pub fn disable_copilot(&self) {
        self.state().copilot = None;
    }

    /// The logins an issue is assigned to.
    #[must_use]
    pub fn assignees(&self, repo: &RepoName, number: u64) -> Vec<String> {
        let state = self.state();
        let issue = state.repos.get(&repo.key()).and_then(|repo| repo.issues.get(&number));
        issue.map(|issue| issue.agent.assignees.clone()).unwrap_or_default()
    }
}

/// `POST /graphql`: the two queries that Foreman asks.
pub(super) fn graphql(state: &State, request: &Request<'_>) -> Outcome {
    request.someone()?;
    let query = request.text("query").ok_or_else(|| Refusal::new(400, "A query is required"))?;
    let complaint =
        |message: &str| Ok(Reply::ok(json!({ "data": null, "errors": [{ "message": message }] })));
    let variables = &request.body["variables"];
    let (owner, name) = (variables["owner"].as_str(), variables["name"].as_str());
    let (Some(owner), Some(name)) = (owner, name) else {
        return complaint("Variable $owner of type String! was provided invalid value");
    };
    let Some(repo) = state.repos.get(&format!("{owner}/{name}").to_ascii_lowercase()) else {
        return complaint(&format!(
            "Could not resolve to a Repository with the name '{owner}/{name}'."
        ));
    };
    if query.contains("suggestedActors(") && query.contains("CAN_BE_ASSIGNED") {
        let mut nodes = vec![json!({ "login": owner, "__typename": "User" })];
        if state.copilot.is_some() {
            nodes.insert(0, json!({ "login": "copilot-swe-agent", "__typename": "Bot" }));
        }
        let data = json!({ "repository": { "suggestedActors": { "nodes": nodes } } });
        return Ok(Reply::ok(json!({ "data": data })));
    }
    if query.contains("lastEditedAt") {
        let number = variables["number"].as_u64();
        let Some(issue) = number.and_then(|number| repo.issues.get(&number)) else {
            return complaint("Could not resolve to an Issue");
        };
        let edited = issue.agent.last_edited;
        let data = json!({ "repository": { "issue": { "lastEditedAt": edited } } });
        return Ok(Reply::ok(json!({ "data": data })));
    }
    complaint("Field doesn't exist on type 'Query'")
}

/// `POST …/assignees`. Who may not is passed over in silence, as GitHub does.
pub(super) fn assign(state: &mut State, request: &Request<'_>, number: &str) -> Outcome {
    let (repo, issue) = request.issue(state, number)?;
    let caller = request.someone()?;
    let wanted = names(request)?;
    let pushes = repo.role(&caller).is_some_and(|role| role >= Role::Write);
    let number = issue.number;
    let agent = &request.body["agent_assignment"];
    let base = agent["base_branch"].as_str().unwrap_or(&repo.default_branch).to_owned();
    let elsewhere = agent["target_repo"]
        .as_str()
        .is_some_and(|target| !target.eq_ignore_ascii_case(&repo.name.to_string()));
    if elsewhere || repo.origin.tip(&base).is_none() {
        return Err(Refusal::field("AgentAssignment", "base_branch", "invalid"));
    }
    let people: Vec<String> =
        wanted.iter().filter(|login| repo.role(login).is_some()).cloned().collect();
    // Only a user's token hands work to the agent.
    let takes = wanted.iter().any(|login| login == ASSIGNEE)
        && state.copilot.is_some()
        && !caller.ends_with("[bot]");
    let has_it = issue.agent.assignees.iter().any(|login| login == ACTOR);
    if pushes {
        let assignees = &mut issue_mut(state, &request.key(), number)?.agent.assignees;
        assignees.extend(people);
        if takes && !has_it {
            assignees.push(ACTOR.to_owned());
            let prompt = agent["custom_instructions"].as_str().unwrap_or_default().to_owned();
            begin(state, &request.key(), number, &base, prompt)?;
        }
    }
    let mut reply = super::issues::read(state, request, &number.to_string())?;
    reply.status = 201;
    Ok(reply)
}

/// `DELETE …/assignees`.
pub(super) fn unassign(state: &mut State, request: &Request<'_>, number: &str) -> Outcome {
    let (repo, issue) = request.issue(state, number)?;
    request.with_role(repo, Role::Triage)?;
    let wanted = names(request)?;
    let number = issue.number;
    let gone = |login: &String| {
        wanted.contains(login) || (login == ACTOR && wanted.iter().any(|it| it == ASSIGNEE))
    };
    issue_mut(state, &request.key(), number)?.agent.assignees.retain(|login| !gone(login));
    super::issues::read(state, request, &number.to_string())
}

fn names(request: &Request<'_>) -> Result<Vec<String>, Refusal> {
    let list = request.body["assignees"].as_array();
    let list = list.ok_or_else(|| missing("Issue", "assignees"))?;
    Ok(list.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect())
}

/// Opens its draft, unless it never will.
fn begin(
    state: &mut State,
    key: &str,
    issue: u64,
    base: &str,
    prompt: String,
) -> Result<(), Refusal> {
    let Some(script) = state.copilot.clone() else { return Ok(()) };
    let act = script(&CopilotTask { issue, round: 0, prompt });
    if matches!(act, CopilotAct::Nothing) {
        return Ok(());
    }
    let (id, now, then) = (state.next_id(), state.moment(), state.moment());
    let repo = state.repos.get_mut(key).ok_or_else(Refusal::not_found)?;
    let number = repo.next_number();
    let branch = format!("copilot/issue-{issue}-{number}");
    let broken = |error: std::io::Error| Refusal::new(500, &error.to_string());
    let base_sha = repo.origin.tip(base).ok_or_else(Refusal::not_found)?;
    repo.origin.set_ref(&format!("refs/heads/{branch}"), &base_sha).map_err(broken)?;
    let head_sha = repo.origin.commit(&branch, &[], "Initial plan").map_err(broken)?;
    let title = repo.issues.get(&issue).map(|issue| issue.title.clone()).unwrap_or_default();
    let pull = Pull {
        head: branch,
        base: base.to_owned(),
        head_sha,
        base_sha,
        merged_at: None,
        merge_commit: None,
    };
    let agent = Agent {
        told: vec![("copilot_work_started", then)],
        draft: true,
        works_on: Some(issue),
        about_to: Some(act),
        ..Agent::default()
    };
    let made = Issue {
        number,
        id,
        title: format!("[WIP] {title}"),
        body: Some(format!("Fixes #{issue}")),
        open: true,
        labels: Vec::new(),
        author: Some(ACTOR.to_owned()),
        association: "CONTRIBUTOR".to_owned(),
        milestone_due: None,
        created_at: now,
        updated_at: now,
        closed_at: None,
        blocked_by: Vec::new(),
        sub_issues: Vec::new(),
        comments: Vec::new(),
        label_changes: Vec::new(),
        pull: Some(pull),
        agent,
    };
    repo.issues.insert(number, made);
    if let Some(issue) = repo.issues.get_mut(&issue) {
        issue.agent.references.push((number, now));
    }
    Ok(())
}

/// Somebody looks at a pull request of its own: it does what it was about to.
pub(super) fn tick(state: &mut State, key: &str, number: &str) {
    let Ok(number) = number.parse::<u64>() else { return };
    let waiting = state.repos.get(key).and_then(|repo| repo.issues.get(&number));
    if waiting.is_none_or(|issue| issue.agent.about_to.is_none()) {
        return;
    }
    let at = state.moment();
    let Some(repo) = state.repos.get_mut(key) else { return };
    let Some(issue) = repo.issues.get_mut(&number) else { return };
    let (Some(pull), Some(act)) = (&mut issue.pull, issue.agent.about_to.take()) else { return };
    match act {
        CopilotAct::Finish(edits) => {
            let edits: Vec<FileEdit<'_>> =
                edits.iter().map(|(path, content)| (path.as_str(), content.as_deref())).collect();
            if !edits.is_empty()
                && let Ok(commit) = repo.origin.commit(&pull.head, &edits, "Work on it")
            {
                pull.head_sha = commit;
            }
            issue.title = issue.title.trim_start_matches("[WIP] ").to_owned();
            issue.agent.draft = false;
            issue.agent.told.push(("copilot_work_finished", at));
        }
        CopilotAct::GiveUp => issue.agent.told.push(("copilot_work_finished_failure", at)),
        CopilotAct::Nothing | CopilotAct::Idle => {}
    }
}

/// A comment on its pull request that mentions it, by somebody who may push, is more work.
pub(super) fn hear(state: &mut State, key: &str, number: u64, caller: &str, body: &str) {
    if !body.contains("@copilot") {
        return;
    }
    let Some(script) = state.copilot.clone() else { return };
    let at = state.moment();
    let Some(repo) = state.repos.get_mut(key) else { return };
    let pushes = repo.role(caller).is_some_and(|role| role >= Role::Write);
    let Some(issue) = repo.issues.get_mut(&number).filter(|_| pushes) else { return };
    let Some(works_on) = issue.agent.works_on else { return };
    issue.agent.round += 1;
    issue.agent.told.push(("copilot_work_started", at));
    let round = issue.agent.round;
    issue.agent.about_to =
        Some(script(&CopilotTask { issue: works_on, round, prompt: body.to_owned() }));
}

/// What the timeline tells besides labels and comments, with its time.
pub(super) fn told(
    request: &Request<'_>,
    state: &State,
    issue: &Issue,
) -> Vec<(DateTime<Utc>, Value)> {
    let Ok(repo) = request.repo(state) else { return Vec::new() };
    let render = request.render(state);
    let actor = render.user(Some(ACTOR));
    let mut items = Vec::new();
    for (kind, at) in &issue.agent.told {
        items.push((*at, json!({ "event": kind, "actor": actor, "created_at": at })));
    }
    for at in &issue.agent.renamed {
        items.push((*at, json!({ "event": "renamed", "created_at": at })));
    }
    for (number, at) in &issue.agent.references {
        if let Some(source) = repo.issues.get(number) {
            let mut shown = render.issue(repo, source);
            shown["repository"] = render.repo(repo, None);
            let source = json!({ "type": "issue", "issue": shown });
            let item = json!({
                "event": "cross-referenced", "actor": actor, "created_at": at, "source": source,
            });
            items.push((*at, item));
        }
    }
    items
}
