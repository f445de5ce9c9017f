//! Why a way of holding commands can't be used, and what opens it.

use super::{Kind, Obstacle};

pub(super) fn obstacle_from(kind: Kind, said: &str) -> Obstacle {
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    let detail = last.chars().take(300).collect::<String>();
    match kind {
        Kind::Landlock if said.contains("does not offer it") => Obstacle::Missing(detail),
        Kind::Landlock | Kind::Bubblewrap | Kind::None => Obstacle::Forbidden(detail),
    }
}

/// What opens the way, from what stood in it and the system's own switches.
pub(super) fn advice_for(tried: &[(Kind, Obstacle)]) -> String {
    let Some((_, obstacle)) = tried.iter().find(|(kind, _)| *kind == Kind::Bubblewrap) else {
        return "Install bubblewrap and use FOREMAN_SANDBOX=auto.".to_owned();
    };
    match obstacle {
        Obstacle::Missing(_) => {
            "Install bubblewrap (`apt install bubblewrap`, `dnf install bubblewrap`).".to_owned()
        }
        Obstacle::Leaks(_) => {
            "This bubblewrap cannot be trusted here; please report it.".to_owned()
        }
        Obstacle::Forbidden(why) => {
            let is = |file: &str, value: &str| {
                std::fs::read_to_string(file).is_ok_and(|text| text.trim() == value)
            };
            if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
                "AppArmor closes user namespaces: give bwrap an AppArmor profile with `userns,`, \
                 or `sysctl kernel.apparmor_restrict_unprivileged_userns=0`."
                    .to_owned()
            } else if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
                "User namespaces are closed: `sysctl kernel.unprivileged_userns_clone=1`."
                    .to_owned()
            } else if is("/proc/sys/user/max_user_namespaces", "0")
                || why.contains("max_*_namespaces")
            {
                "User namespaces are closed: `sysctl user.max_user_namespaces=15000`.".to_owned()
            } else {
                "Namespaces are closed, as in most containers: run the container with \
                 `--security-opt seccomp=unconfined --security-opt systempaths=unconfined` \
                 (as root also `--cap-add SYS_ADMIN`), or run Foreman on the host."
                    .to_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::SandboxError;
    use super::*;

    #[test]
    fn missing_and_forbidden_are_told_apart_with_what_opens_each() {
        let missing = vec![(Kind::Bubblewrap, Obstacle::Missing("`bwrap` is not on PATH".into()))];
        assert!(advice_for(&missing).contains("apt install bubblewrap"));
        let said = "bwrap: No permissions to create new namespace\n";
        let forbidden = vec![(Kind::Bubblewrap, obstacle_from(Kind::Bubblewrap, said))];
        assert!(!advice_for(&forbidden).contains("apt install"));
        let advice = advice_for(&forbidden);
        let error = SandboxError::Unavailable { tried: forbidden, advice }.to_string();
        assert!(error.contains("forbidden by the system (bwrap: No permissions"), "{error}");
    }
}
