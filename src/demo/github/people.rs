//! Routes about who is who: users, collaborators, the GitHub App.

use octocrab::jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::{Value, json};

use super::api::{Outcome, Refusal, Reply, Request};
use super::state::{App, Role, State};

pub(super) fn user(state: &State, request: &Request<'_>) -> Outcome {
    let caller = request.someone()?;
    if caller.ends_with("[bot]") {
        return Err(Refusal::new(403, "Resource not accessible by integration"));
    }
    Ok(Reply::ok(request.render(state).user(Some(&caller))))
}

pub(super) fn permission(state: &State, request: &Request<'_>, login: &str) -> Outcome {
    let repo = request.repo(state)?;
    let caller = request.someone()?;
    if repo.role(&caller).is_none_or(|role| role < Role::Write) {
        return Err(Refusal::new(403, "Must have push access to view collaborator permission."));
    }
    // The old word knows four permissions only; the role's name has them all.
    let (permission, role) = match repo.role(login) {
        Some(role @ (Role::Read | Role::Triage)) => ("read", role.as_str()),
        Some(role @ (Role::Write | Role::Maintain)) => ("write", role.as_str()),
        Some(Role::Admin) => ("admin", "admin"),
        None if login.ends_with("[bot]") => return Err(Refusal::not_found()),
        None if repo.private => ("none", ""),
        // Anybody may read what is public, and GitHub says so.
        None => ("read", "read"),
    };
    let user = request.render(state).user(Some(login));
    Ok(Reply::ok(json!({ "permission": permission, "role_name": role, "user": user })))
}

/// The App that signed the request's JWT.
fn signed<'s>(state: &'s State, request: &Request<'_>) -> Result<&'s App, Refusal> {
    let refused = || Refusal::new(401, "A JSON web token could not be decoded");
    let app = state.app.as_ref().ok_or_else(Refusal::not_found)?;
    let jwt = request.bearer.as_deref().ok_or_else(refused)?;
    let key = DecodingKey::from_rsa_pem(app.public_key_pem.as_bytes()).map_err(|_| refused())?;
    let mut rules = Validation::new(Algorithm::RS256);
    // GitHub takes the id as a number too, which the library's own check of `iss` does not.
    rules.set_required_spec_claims(&["exp"]);
    let claims = decode::<Value>(jwt, &key, &rules).map_err(|_| refused())?.claims;
    let issuer = match &claims["iss"] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if issuer == app.id.to_string() { Ok(app) } else { Err(refused()) }
}

pub(super) fn app(state: &State, request: &Request<'_>) -> Outcome {
    let app = signed(state, request)?;
    Ok(Reply::ok(json!({ "id": app.id, "slug": app.slug, "name": app.slug })))
}

pub(super) fn installation(state: &State, request: &Request<'_>) -> Outcome {
    let app = signed(state, request)?;
    let repo = state.repos.get(&request.key()).ok_or_else(Refusal::not_found)?;
    let (id, permissions) = (repo.id, &app.permissions);
    Ok(Reply::ok(
        json!({ "id": id, "repository_selection": "selected", "permissions": permissions }),
    ))
}

pub(super) fn installation_token(state: &mut State, request: &Request<'_>, id: &str) -> Outcome {
    let login = format!("{}[bot]", signed(state, request)?.slug);
    let repo = state.repos.values_mut().find(|repo| repo.id.to_string() == id);
    repo.ok_or_else(Refusal::not_found)?.roles.insert(login.clone(), Role::Write);
    let token = format!("ghs_standin{}", state.next_id());
    state.tokens.insert(token.clone(), login);
    let expires = chrono::Utc::now() + chrono::Duration::hours(1);
    Ok(Reply::created(json!({ "token": token, "expires_at": expires })))
}
