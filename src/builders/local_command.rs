//! `LOCAL_BUILDER_COMMAND`: a command-line coding agent, run in the workspace inside the sandbox.
//!
//! Owns the task's text on its standard input, the one address it may reach (the local server's,
//! where one is configured) and the reading of how it ended. It asks no upstream of ours, so there
//! is no row in the ledger, and gets no key.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::agent::{ending, middle_out};
use super::{BuildOutcome, Builders, Task, clean_output};
use crate::domain::plan::ReasonCode;
use crate::domain::registry::Registry;
use crate::domain::tier::ModelTier;
use crate::process::{Ending, Finished};
use crate::sandbox::{Door, Kind, Place, Refusals, Shell};

/// Bytes of its output that are kept.
const OUTPUT_CAP: usize = 64 << 10;
/// Characters of its output that are quoted.
const QUOTE_CAP: usize = 2_000;

/// Characters of its output that the transcript keeps, head and tail.
const TOLD_CAP: usize = 16_000;

/// How it went, and what the transcript tells of it.
pub(super) struct Ran {
    pub outcome: BuildOutcome,
    pub notes: Vec<String>,
}

impl Ran {
    fn untold(outcome: BuildOutcome) -> Self {
        Self { outcome, notes: Vec::new() }
    }
}

/// Runs the command to its end.
pub(super) async fn run(
    builders: &Builders,
    task: &Task,
    told: String,
    command: &str,
    time: Duration,
    cancel: &CancellationToken,
) -> Ran {
    let mut place = task.workspace.clone();
    place.read_only.extend(program_folders(command));
    if let Err(error) = open_ways(&place) {
        tracing::warn!(%error, "the way to the local builder's program may be closed in the box");
    }
    let mut shell = Shell::new(command, time);
    shell.stdin = Some(told.into_bytes());
    shell.output_cap = OUTPUT_CAP;
    if let Some(server) = builders.tiers.get(ModelTier::LocalBuilder) {
        let address = &server.endpoint.base_url;
        let (door, env) = match builders.sandbox.kind() {
            Kind::Bubblewrap | Kind::Landlock => way_to(address, &server.model.model),
            // Nothing is held there, the network neither.
            Kind::None => (None, told_of(address.as_str(), &server.model.model)),
        };
        shell.door = door;
        shell.env = env;
    }
    let failed = |message: String| BuildOutcome::Failed {
        code: ReasonCode::BuilderFailed,
        message,
        stuck: false,
    };
    let finished = match builders.sandbox.run(&place, &shell, cancel).await {
        Ok(finished) => finished,
        Err(error) => {
            let why = format!("LOCAL_BUILDER_COMMAND could not be run: {error}");
            return Ran::untold(failed(why));
        }
    };
    let notes = told_of_run(builders, &finished, time);
    let output = clean_output(&String::from_utf8_lossy(&finished.stdout.bytes()));
    let quoted = builders.redactor.redact(&tail(output.trim(), QUOTE_CAP));
    let outcome = match finished.ending {
        Ending::Cancelled => BuildOutcome::Cancelled,
        Ending::Exited(0) => {
            BuildOutcome::Finished { tier: ModelTier::LocalBuilder, summary: quoted }
        }
        Ending::Exited(_) | Ending::Signalled(_) | Ending::TimedOut => failed(format!(
            "LOCAL_BUILDER_COMMAND ended with {}: {quoted}",
            ending(finished.ending, time)
        )),
    };
    Ran { outcome, notes }
}

/// Its ending, its time and what it wrote, cleaned and redacted before they are cut, so that no cut
/// goes through a secret and leaves a half of it.
fn told_of_run(builders: &Builders, finished: &Finished, time: Duration) -> Vec<String> {
    let mut notes = vec![format!(
        "LOCAL_BUILDER_COMMAND ended with {} after {:.1} s",
        ending(finished.ending, time),
        finished.duration.as_secs_f64()
    )];
    // The box merges both streams, as a person at a terminal would see them.
    let text = clean_output(&String::from_utf8_lossy(&finished.stdout.bytes()));
    let text = builders.redactor.redact(text.trim());
    if !text.is_empty() {
        let kept = middle_out(&text, TOLD_CAP);
        notes.push(format!("LOCAL_BUILDER_COMMAND wrote, both streams in one:\n{kept}"));
    }
    notes
}

/// The way to the model's server, the only address that the command reaches, and what tells it so.
/// Plain HTTP is asked on the box's own loopback. TLS must see the server's name, so there the
/// command goes through a proxy that lets that one name pass. No key goes along.
fn way_to(server: &Url, model: &str) -> (Option<Door>, Vec<(String, String)>) {
    let (Some(host), Some(port)) = (server.host_str(), server.port_or_known_default()) else {
        return (None, Vec::new());
    };
    let (door, address) = if server.scheme() == "https" {
        let Ok(allowed) = Registry::parse(server.as_str()) else { return (None, Vec::new()) };
        let door = Door::Registries { allowed: allowed.into(), refused: Refusals::default() };
        (door, server.to_string())
    } else {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let inside = format!("http://127.0.0.1:{}{}", Door::port(), server.path());
        (Door::Address { host, port }, inside)
    };
    (Some(door), told_of(&address, model))
}

fn told_of(address: &str, model: &str) -> Vec<(String, String)> {
    let address = address.trim_end_matches('/');
    let env = [
        ("LOCAL_BUILDER_BASE_URL", address),
        ("LOCAL_BUILDER_MODEL", model),
        // What most agents read. They want a key too; local servers take any.
        ("OPENAI_BASE_URL", address),
        ("OPENAI_API_BASE", address),
        ("OPENAI_API_KEY", "none"),
    ];
    env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

/// A program below /tmp is shown inside the box's own /tmp, where the box makes the folders that
/// lead to it for root alone; made here first, they can be passed. The handle keeps links that a
/// builder left there from leading out.
fn open_ways(place: &Place) -> io::Result<()> {
    let tmp = Dir::open_ambient_dir(place.tmp(), ambient_authority())?;
    for shown in &place.read_only {
        let Ok(below) = shown.strip_prefix("/tmp") else { continue };
        let mut way = PathBuf::new();
        for name in below {
            way.push(name);
            match tmp.create_dir(&way) {
                Ok(()) => {
                    let open = std::fs::Permissions::from_mode(0o755);
                    tmp.set_permissions(&way, cap_std::fs::Permissions::from_std(open))?;
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

fn tail(text: &str, characters: usize) -> String {
    let skip = text.chars().count().saturating_sub(characters);
    text.chars().skip(skip).collect()
}

/// The folders of the program, so that it can be run in a box that shows nothing of the host: of
/// every absolute file the command names, and of its first word where PATH finds it.
fn program_folders(command: &str) -> Vec<PathBuf> {
    let mut words = command.split_whitespace().map(|word| word.trim_matches(['"', '\'']));
    let named = words
        .next()
        .into_iter()
        .flat_map(|first| if first.contains('/') { Some(first.into()) } else { on_path(first) })
        .chain(words.map(PathBuf::from));
    let mut folders: Vec<PathBuf> = named
        .filter(|path| path.is_absolute() && path.is_file())
        .filter_map(|path| path.canonicalize().ok())
        .filter_map(|path| path.parent().map(Path::to_owned))
        .filter(|folder| !is_system(folder))
        .collect();
    folders.sort();
    folders.dedup();
    folders
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Shown by the sandbox anyway, or too much to show.
fn is_system(folder: &Path) -> bool {
    folder == Path::new("/")
        || ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc", "/dev", "/proc", "/sys"]
            .iter()
            .any(|system| folder.starts_with(system))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_address_is_one_inside() {
        let server = "http://[::1]:11434/v1/".parse().expect("an address");
        let (door, env) = way_to(&server, "qwen");
        assert!(matches!(door, Some(Door::Address { host, port: 11434 }) if host == "::1"));
        let inside = format!("http://127.0.0.1:{}/v1", Door::port());
        assert!(env.contains(&("OPENAI_BASE_URL".to_owned(), inside)));
        let server = "https://models.example/v1".parse().expect("an address");
        let (door, env) = way_to(&server, "qwen");
        assert!(matches!(door, Some(Door::Registries { .. })));
        let outside = "https://models.example/v1".to_owned();
        assert!(env.contains(&("LOCAL_BUILDER_BASE_URL".to_owned(), outside)));
    }

    #[test]
    fn the_programs_folder_is_shown_and_system_folders_are_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let program = dir.path().join("agent.sh");
        std::fs::write(&program, "true").expect("a file");
        let real = dir.path().canonicalize().expect("a path");
        let command = format!("sh '{}' --flag /etc/hostname", program.display());
        assert_eq!(program_folders(&command), std::slice::from_ref(&real));
        assert_eq!(program_folders(&program.display().to_string()), [real]);
        assert!(program_folders("true").is_empty());
    }
}
