//! What a child takes away from itself: kernel calls (seccomp) and, where no namespace does it,
//! files and network (Landlock).
//!
//! Each is kept over exec and cannot be undone. Never decides which paths: it is told.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
    Scope, path_beneath_rules,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::exec::bad;

/// How a child is confined.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Confinement {
    #[default]
    None,
    /// Inside namespaces that hold files, processes and network: only dangerous calls are denied.
    Calls,
    /// No namespaces: files by Landlock, and no socket of any kind.
    Landlock { read: Vec<PathBuf>, write: Vec<PathBuf> },
}

impl Confinement {
    pub(super) fn set(&mut self, name: &str, value: OsString) -> io::Result<()> {
        match (name, self) {
            ("confine", this) if value == OsStr::new("calls") => *this = Self::Calls,
            ("confine", this) if value == OsStr::new("landlock") => {
                *this = Self::Landlock { read: Vec::new(), write: Vec::new() };
            }
            ("read", Self::Landlock { read, .. }) => read.push(value.into()),
            ("write", Self::Landlock { write, .. }) => write.push(value.into()),
            _ => return Err(bad("an unknown confinement")),
        }
        Ok(())
    }
}

pub(super) fn apply(confinement: &Confinement) -> io::Result<()> {
    match confinement {
        Confinement::None => Ok(()),
        Confinement::Calls => restrict_calls(&ALLOWED_FAMILIES),
        Confinement::Landlock { read, write } => {
            restrict_files(read, write).map_err(io::Error::other)?;
            restrict_calls(&[])
        }
    }
}

/// The newest Landlock we know; an older kernel holds what it can.
const NEWEST: ABI = ABI::V7;

fn restrict_files(read: &[PathBuf], write: &[PathBuf]) -> Result<(), String> {
    let enforce = || {
        // A path that does not exist is left out, which denies it.
        Ruleset::default()
            .handle_access(AccessFs::from_all(NEWEST))?
            .handle_access(AccessNet::from_all(NEWEST))?
            .scope(Scope::from_all(NEWEST))?
            .create()?
            .add_rules(path_beneath_rules(read, AccessFs::from_read(NEWEST)))?
            .add_rules(path_beneath_rules(write, AccessFs::from_all(NEWEST)))?
            .restrict_self()
    };
    let status = enforce().map_err(|error| format!("Landlock: {error}"))?;
    match status.ruleset {
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
        RulesetStatus::NotEnforced => Err("Landlock: this kernel does not offer it".to_owned()),
    }
}

/// Socket families a box with its own network namespace may use. Not `AF_UNIX`: such a socket is
/// reached by a path, whatever the network namespace, and passes descriptors; `socketpair` makes
/// unnamed ones all the same. Not vsock, which reaches a virtual machine's host, nor the kernel's
/// crypto or packets. Netlink for routes alone, which resolvers and runtimes ask.
const ALLOWED_FAMILIES: [libc::c_int; 3] = [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// Calls that no build or test needs and that reach into other processes or the kernel.
const DENIED: &[libc::c_long] = &[
    // other processes
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_process_madvise,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    // mounts and namespaces
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_chroot,
    // keys
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // ways around this filter, and large kernel surface
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_open_by_handle_at,
    // the machine
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_fanotify_init,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
];

fn restrict_calls(families: &[libc::c_int]) -> io::Result<()> {
    let mut denied: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for call in DENIED {
        add(&mut denied, *call, Vec::new());
    }
    // Another program's input: characters pushed into the terminal.
    let pushes = [libc::TIOCSTI, libc::TIOCLINUX]
        .map(|request| Ok(rules(vec![condition(1, SeccompCmpOp::Eq, request)?])?.remove(0)));
    add(&mut denied, libc::SYS_ioctl, pushes.into_iter().collect::<io::Result<_>>()?);
    // Limits of another process; one's own is 0.
    let another = condition(0, SeccompCmpOp::Ne, 0)?;
    add(&mut denied, libc::SYS_prlimit64, rules(vec![another])?);
    let user_namespace = u64::try_from(libc::CLONE_NEWUSER).map_err(io::Error::other)?;
    let asks = condition(0, SeccompCmpOp::MaskedEq(user_namespace), user_namespace)?;
    add(&mut denied, libc::SYS_clone, rules(vec![asks])?);
    install(denied, libc::EPERM)?;
    // As a kernel without them says it: programs then do without.
    install(sockets(families)?, libc::EAFNOSUPPORT)?;

    // A filter cannot look behind clone3's pointer; without it, libraries fall back to clone.
    let mut absent = BTreeMap::new();
    add(&mut absent, libc::SYS_clone3, Vec::new());
    install(absent, libc::ENOSYS)
}

/// Sockets of other families, and pairs of anything but unnamed `AF_UNIX` sockets.
fn sockets(families: &[libc::c_int]) -> io::Result<BTreeMap<i64, Vec<SeccompRule>>> {
    let number = |value: libc::c_int| u64::try_from(value).map_err(io::Error::other);
    let mut denied = BTreeMap::new();
    let other_family = families
        .iter()
        .map(|family| condition(0, SeccompCmpOp::Ne, number(*family)?))
        .collect::<io::Result<Vec<_>>>()?;
    let mut refused = rules(other_family)?;
    if families.contains(&libc::AF_NETLINK) {
        refused.push(
            SeccompRule::new(vec![
                condition(0, SeccompCmpOp::Eq, number(libc::AF_NETLINK)?)?,
                condition(2, SeccompCmpOp::Ne, number(libc::NETLINK_ROUTE)?)?,
            ])
            .map_err(io::Error::other)?,
        );
    }
    add(&mut denied, libc::SYS_socket, refused);
    let other_pair = condition(0, SeccompCmpOp::Ne, number(libc::AF_UNIX)?)?;
    add(&mut denied, libc::SYS_socketpair, rules(vec![other_pair])?);
    Ok(denied)
}

/// No conditions mean "always".
fn rules(conditions: Vec<SeccompCondition>) -> io::Result<Vec<SeccompRule>> {
    if conditions.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![SeccompRule::new(conditions).map_err(io::Error::other)?])
}

fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> io::Result<SeccompCondition> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
        .map_err(io::Error::other)
}

fn add(filter: &mut BTreeMap<i64, Vec<SeccompRule>>, call: libc::c_long, rules: Vec<SeccompRule>) {
    // The x32 numbering of the same call, which x86-64 kernels may offer beside it.
    if cfg!(target_arch = "x86_64") {
        filter.insert(call | 0x4000_0000, rules.clone());
    }
    filter.insert(call, rules);
}

fn install(filter: BTreeMap<i64, Vec<SeccompRule>>, errno: libc::c_int) -> io::Result<()> {
    let target: TargetArch = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    let errno = u32::try_from(errno).map_err(io::Error::other)?;
    let program: BpfProgram =
        SeccompFilter::new(filter, SeccompAction::Allow, SeccompAction::Errno(errno), target)
            .and_then(TryInto::try_into)
            .map_err(io::Error::other)?;
    seccompiler::apply_filter(&program).map_err(io::Error::other)
}
