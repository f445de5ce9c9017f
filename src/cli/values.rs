//! How the command line's values are read, and what is said of one that is none.

use crate::domain::ids::{IssueNumber, RepoName, RunId};
use crate::domain::money::Usd;
use crate::domain::plan::Complexity;
use crate::domain::switch::Builder;
use crate::escalation::Period;

pub(super) fn issue_number(text: &str) -> Result<IssueNumber, String> {
    let digits = text.trim().trim_start_matches('#');
    match digits.parse::<u32>() {
        Ok(number) if number > 0 => Ok(IssueNumber(u64::from(number))),
        Ok(_) | Err(_) => Err("it takes issue numbers, like 12,14".to_owned()),
    }
}

pub(super) fn usd(text: &str) -> Result<Usd, String> {
    let amount = text.trim_start_matches('$').parse().ok().and_then(Usd::from_usd);
    amount.ok_or_else(|| "it takes a number of USD from 0 to 1000000".to_owned())
}

pub(super) fn complexity(text: &str) -> Result<Complexity, String> {
    match text {
        "low" => Ok(Complexity::Low),
        "medium" => Ok(Complexity::Medium),
        "high" => Ok(Complexity::High),
        _ => Err("it takes low, medium or high".to_owned()),
    }
}

pub(super) fn builder(text: &str) -> Result<Builder, String> {
    text.parse()
}

pub(super) fn period(text: &str) -> Result<Period, String> {
    text.parse()
}

pub(super) fn limit(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=1_000).contains(number));
    number.ok_or_else(|| "it takes a number from 1 to 1000".to_owned())
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueOf {
    pub repo: RepoName,
    pub issue: IssueNumber,
}

pub(super) fn issue_of(text: &str) -> Result<IssueOf, String> {
    let takes = || "it takes OWNER/REPO#N, like octo/app#12".to_owned();
    let (repo, number) = text.split_once('#').ok_or_else(takes)?;
    Ok(IssueOf { repo: repo.parse().map_err(|_| takes())?, issue: issue_number(number)? })
}

pub(super) fn hash(text: &str) -> Result<String, String> {
    let possible =
        (4..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if possible {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("it takes 4 to 64 hexadecimal digits".to_owned())
    }
}

pub(super) fn run_id(text: &str) -> Result<RunId, String> {
    let possible = (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if possible { Ok(RunId::new(text)) } else { Err("it takes the id of a run".to_owned()) }
}
