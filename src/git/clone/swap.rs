//! Files swapped into a clone and back out, each in one step of the file system.
//!
//! A changed file trades places with its successor, so that at every moment one of the two is
//! there, whole, and the old one comes back as the same file it was. A new file never replaces
//! anything. Content is not looked at here.

use std::io;

use super::CloneError;
use super::journal::{Journal, Stage, Step};
use super::layout::{Layout, unreadable};
use super::walk::Folder;
use crate::failpoint::Failpoints;

struct Places {
    root: Folder,
    new: Folder,
    old: Folder,
}

impl Places {
    fn open(layout: &Layout, stage: &Stage) -> Result<Self, CloneError> {
        let open = |path: &std::path::Path| Folder::open(path).map_err(unreadable(path));
        Ok(Self {
            root: open(&layout.root)?,
            new: open(&stage.new_files())?,
            old: open(&stage.old_files())?,
        })
    }
}

/// Does every step. What was done when it fails is undone by `back`.
pub(super) fn forth(
    layout: &Layout,
    stage: &Stage,
    journal: &Journal,
    failpoints: &Failpoints,
) -> Result<(), CloneError> {
    let places = Places::open(layout, stage)?;
    let fault = |step: &Step, error: io::Error| {
        let path = String::from_utf8_lossy(&step.path()).into_owned();
        unreadable(&layout.root.join(path))(error)
    };
    for (number, step) in journal.steps.iter().enumerate().filter(|(_, s)| s.new.is_none()) {
        take_away(&places, number, step).map_err(|error| fault(step, error))?;
        failpoints.hit("desktop.swapping");
    }
    for step in journal.steps.iter().filter(|step| step.new.is_some()) {
        let done = match step.old {
            Some(_) => trade(&places, step),
            None => bring(&places, step),
        };
        done.map_err(|error| fault(step, error))?;
        failpoints.hit("desktop.swapping");
    }
    Ok(())
}

fn meanwhile() -> io::Error {
    io::Error::other("somebody changed it meanwhile")
}

fn take_away(places: &Places, number: usize, step: &Step) -> io::Result<()> {
    let (path, kept) = (step.path(), Stage::kept_name(number));
    if places.root.look(&path)? != step.old {
        return Err(meanwhile());
    }
    places.root.give(&path, &places.old, &kept)?;
    // What was taken is what was looked at; else it goes back at once.
    if places.old.look(&kept)? == step.old {
        return Ok(());
    }
    places.old.give(&kept, &places.root, &path)?;
    Err(meanwhile())
}

fn trade(places: &Places, step: &Step) -> io::Result<()> {
    let path = step.path();
    if places.root.look(&path)? != step.old {
        return Err(meanwhile());
    }
    places.root.exchange(&path, &places.new, &path)?;
    if places.new.look(&path)? == step.old {
        return Ok(());
    }
    places.root.exchange(&path, &places.new, &path)?;
    Err(meanwhile())
}

fn bring(places: &Places, step: &Step) -> io::Result<()> {
    let path = step.path();
    if places.root.is_folder(&path)? {
        // Emptied by what was taken away before.
        places.root.remove_hollow(&path)?;
    }
    places.new.give(&path, &places.root, &path)
}

/// Undoes whatever was done of the steps. Says which paths somebody changed since; they stay.
pub(super) fn back(
    layout: &Layout,
    stage: &Stage,
    journal: &Journal,
) -> Result<Vec<Vec<u8>>, CloneError> {
    let places = Places::open(layout, stage)?;
    let mut left = Vec::new();
    let fault = |path: &[u8], error: io::Error| {
        unreadable(&layout.root.join(String::from_utf8_lossy(path).into_owned()))(error)
    };
    for step in journal.steps.iter().rev().filter(|step| step.new.is_some()) {
        let path = step.path();
        let undone = match step.old {
            Some(_) => trade_back(&places, step),
            None => send_back(&places, step),
        };
        if !undone.map_err(|error| fault(&path, error))? {
            left.push(path);
        }
    }
    for folder in journal.made.iter().rev() {
        let folder = hex::decode(folder).unwrap_or_default();
        places.root.remove_folder(&folder).map_err(|error| fault(&folder, error))?;
    }
    for (number, step) in journal.steps.iter().enumerate().filter(|(_, s)| s.new.is_none()) {
        let path = step.path();
        if !bring_back(&places, number, step).map_err(|error| fault(&path, error))? {
            left.push(path);
        }
    }
    Ok(left)
}

fn trade_back(places: &Places, step: &Step) -> io::Result<bool> {
    let path = step.path();
    if places.new.look(&path)? != step.old {
        // Never traded.
        return Ok(true);
    }
    if places.root.look(&path)? != step.new {
        return Ok(false);
    }
    places.root.exchange(&path, &places.new, &path)?;
    Ok(true)
}

fn send_back(places: &Places, step: &Step) -> io::Result<bool> {
    let path = step.path();
    if places.new.look(&path)?.is_some() {
        return Ok(true);
    }
    match places.root.look(&path)? {
        found if found == step.new => {
            places.root.give(&path, &places.new, &path)?;
            Ok(true)
        }
        // Whoever removed it since wanted it gone.
        None => Ok(true),
        Some(_) => Ok(false),
    }
}

fn bring_back(places: &Places, number: usize, step: &Step) -> io::Result<bool> {
    let (path, kept) = (step.path(), Stage::kept_name(number));
    if places.old.look(&kept)?.is_none() {
        return Ok(true);
    }
    match places.old.give(&kept, &places.root, &path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether every old file is as it was when it was swapped out, and every new one as it was
/// swapped in.
pub(super) fn is_undisturbed(
    layout: &Layout,
    stage: &Stage,
    journal: &Journal,
) -> Result<bool, CloneError> {
    let places = Places::open(layout, stage)?;
    for (number, step) in journal.steps.iter().enumerate() {
        let path = step.path();
        let look =
            |folder: &Folder, path: &[u8]| folder.look(path).map_err(unreadable(&layout.root));
        let kept = match (step.old.is_some(), step.new.is_some()) {
            (true, true) => look(&places.new, &path)?,
            (true, false) => look(&places.old, &Stage::kept_name(number))?,
            (false, _) => None,
        };
        if kept != step.old {
            return Ok(false);
        }
        if step.new.is_some() && look(&places.root, &path)? != step.new {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes folders that the merge left empty.
pub(super) fn tidy(layout: &Layout, journal: &Journal) -> Result<(), CloneError> {
    let root = Folder::open(&layout.root).map_err(unreadable(&layout.root))?;
    for step in journal.steps.iter().filter(|step| step.new.is_none()) {
        root.remove_emptied(&step.path()).map_err(unreadable(&layout.root))?;
    }
    Ok(())
}
