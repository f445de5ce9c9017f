//! The states of the matrix. Over 400 lines because it is one table: each state with what must be
//! found of it.

#![allow(
    clippy::too_many_lines,
    clippy::semicolon_if_nothing_returned,
    reason = "one table, a row for each state"
)]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use foreman::desktop_sync::DriftState::{self, Ahead, Behind, Diverged, InSync, Unknown};

use super::scene::{Scene, commit, git, try_git, write};

pub struct Case {
    pub name: &'static str,
    pub state: DriftState,
    pub safe: bool,
    pub conflict: bool,
    /// Words that the answer must hold.
    pub says: &'static str,
    pub make: fn(&mut Scene),
}

fn case(name: &'static str, state: DriftState, make: fn(&mut Scene)) -> Case {
    Case { name, state, safe: true, conflict: false, says: "", make }
}

impl Case {
    /// Not safe, and this is why.
    fn because(mut self, says: &'static str) -> Self {
        self.safe = false;
        self.says = says;
        self
    }

    fn conflict(mut self) -> Self {
        self.conflict = true;
        self
    }
}

pub fn all() -> Vec<Case> {
    let mut cases = plain();
    cases.extend(behind_by_kind());
    cases.extend(dirty());
    cases.extend(in_the_way());
    cases.extend(under_way());
    cases.extend(heads());
    cases.extend(remotes());
    cases.extend(histories());
    cases.extend(nested());
    cases.extend(formats());
    cases
}

fn behind(scene: &Scene) {
    scene.someone("src/lib.rs", "changed by somebody\n");
}

fn plain() -> Vec<Case> {
    vec![
        case("fresh", InSync, |_| {}),
        case("in sync, untracked", InSync, |s| s.edit("new.txt", "n")),
        case("in sync, ignored", InSync, |s| s.edit("a.log", "n")),
        case("in sync, stash", InSync, |s| {
            s.edit("other.txt", "stashed\n");
            s.mine(&["stash", "--quiet"]);
        }),
        case("in sync, changed", InSync, |s| s.edit("other.txt", "x\n"))
            .because("`other.txt` is changed"),
        case("ahead by one", Ahead, |s| {
            s.i_commit("mine.txt", "m");
        }),
        case("ahead by three, untracked", Ahead, |s| {
            for n in 0..3 {
                s.i_commit("mine.txt", &n.to_string());
            }
            s.edit("new.txt", "n");
        }),
        case("ahead, changed", Ahead, |s| {
            s.i_commit("mine.txt", "m");
            s.edit("mine.txt", "n");
        })
        .because("is changed"),
        case("behind by one", Behind, |s| behind(s)),
        case("behind by three", Behind, |s| {
            for n in 0..3 {
                s.someone("other.txt", &format!("{n}\n"));
            }
        }),
        case("behind, untracked", Behind, |s| {
            behind(s);
            s.edit("new.txt", "n");
            s.edit("src/new.txt", "n");
        }),
        case("behind, ignored", Behind, |s| {
            behind(s);
            s.edit("build/out", "n");
            s.edit("src/a.log", "n");
        }),
        case("behind, stash", Behind, |s| {
            behind(s);
            s.edit("src/lib.rs", "stashed\n");
            s.mine(&["stash", "--quiet"]);
        }),
        case("behind, touched without a change", Behind, |s| {
            behind(s);
            let text = fs::read_to_string(s.clone_dir().join("src/lib.rs")).expect("read");
            s.edit("src/lib.rs", &text);
        }),
        case("behind, fetched by its owner", Behind, |s| {
            behind(s);
            s.mine(&["fetch", "--quiet"]);
        }),
        case("behind, refs packed", Behind, |s| {
            behind(s);
            s.mine(&["pack-refs", "--all", "--prune"]);
        }),
        case("behind, packed and collected", Behind, |s| {
            behind(s);
            s.mine(&["gc", "--quiet", "--prune=now"]);
        }),
    ]
}

fn behind_by_kind() -> Vec<Case> {
    vec![
        case("behind, odd names", Behind, |s| {
            s.someone_does(|seed| {
                for name in [
                    "with space",
                    "-dash",
                    "ünï",
                    "quote\"s",
                    "new\nline",
                    "back\\slash",
                    "tab\there",
                    ":colon",
                    "*star",
                ] {
                    write(seed, &format!("odd/{name}"), name);
                }
            });
            s.someone_does(|seed| write(seed, "odd/new\nline", "again"));
        }),
        case("behind, executable", Behind, |s| {
            s.someone_does(|seed| {
                fs::set_permissions(seed.join("tool.sh"), fs::Permissions::from_mode(0o755))
                    .expect("set");
            });
        }),
        case("behind, new link", Behind, |s| {
            s.someone_does(|seed| symlink("src/lib.rs", seed.join("second")).expect("a link"));
        }),
        case("behind, link out of the tree", Behind, |s| {
            s.someone_does(|seed| symlink("/etc/passwd", seed.join("out")).expect("a link"));
        }),
        case("behind, link becomes file", Behind, |s| {
            s.someone_does(|seed| {
                fs::remove_file(seed.join("link")).expect("removed");
                write(seed, "link", "a file now\n");
            });
        }),
        case("behind, file becomes link", Behind, |s| {
            s.someone_does(|seed| {
                fs::remove_file(seed.join("other.txt")).expect("removed");
                symlink("README.md", seed.join("other.txt")).expect("a link");
            });
        }),
        case("behind, file becomes folder", Behind, |s| {
            s.someone_does(|seed| {
                fs::remove_file(seed.join("other.txt")).expect("removed");
                write(seed, "other.txt/in/side", "x");
            });
        }),
        case("behind, folder becomes file", Behind, |s| {
            s.someone_does(|seed| {
                fs::remove_dir_all(seed.join("src/deep")).expect("removed");
                write(seed, "src/deep", "x");
            });
        }),
        case("behind, folder becomes link", Behind, |s| {
            s.someone_does(|seed| {
                fs::remove_dir_all(seed.join("alone")).expect("removed");
                symlink("src", seed.join("alone")).expect("a link");
            });
        }),
        case("behind, renamed", Behind, |s| {
            s.someone_does(|seed| {
                fs::rename(seed.join("src/lib.rs"), seed.join("src/main.rs")).expect("moved")
            });
        }),
        case("behind, renamed by case", Behind, |s| {
            s.someone_does(|seed| {
                fs::rename(seed.join("README.md"), seed.join("readme.MD")).expect("moved")
            });
        }),
        case("behind, deleted", Behind, |s| {
            s.someone_does(|seed| fs::remove_file(seed.join("other.txt")).expect("removed"));
        }),
        case("behind, folder deleted", Behind, |s| {
            s.someone_does(|seed| fs::remove_dir_all(seed.join("alone")).expect("removed"));
        }),
        case("behind, folder deleted around untracked", Behind, |s| {
            s.edit("alone/mine.txt", "not tracked");
            s.someone_does(|seed| fs::remove_dir_all(seed.join("alone")).expect("removed"));
        }),
        case("behind, large file", Behind, |s| {
            s.someone("large.bin", &"0123456789abcdef".repeat(1 << 19));
        }),
        case("behind, bytes that are no text", Behind, |s| {
            s.someone_does(|seed| {
                fs::write(seed.join("bin"), [0_u8, 255, 13, 10, 0]).expect("written")
            });
        }),
        case("behind, empty file", Behind, |s| {
            s.someone("empty", "");
        }),
        case("behind, commit without a change", Behind, |s| {
            s.someone_does(|_| {});
        }),
        case("behind, a merge", Behind, |s| {
            s.someone_does(|seed| {
                git(seed, &["switch", "--quiet", "-c", "side"]);
                write(seed, "side.txt", "s");
                commit(seed, "side");
                git(seed, &["switch", "--quiet", "main"]);
                write(seed, "other.txt", "main\n");
                commit(seed, "main");
                git(seed, &["merge", "--quiet", "--no-edit", "side"]);
            });
        }),
        case("behind, three hundred files", Behind, |s| {
            s.someone_does(|seed| {
                (0..300).for_each(|n| write(seed, &format!("many/{}/f{n}", n % 7), &n.to_string()))
            });
        }),
        case("behind, line ends by attribute", Behind, |s| {
            s.someone_does(|seed| {
                write(seed, ".gitattributes", "*.txt text eol=crlf\n");
                write(seed, "lines.txt", "one\ntwo\n");
            });
        }),
        case("behind, encoding by attribute", Behind, |s| {
            s.someone_does(|seed| {
                write(seed, ".gitattributes", "*.u16 text working-tree-encoding=UTF-16LE-BOM\n");
                let text: Vec<u8> = [0xfeff_u16]
                    .into_iter()
                    .chain("hi\n".encode_utf16())
                    .flat_map(u16::to_le_bytes)
                    .collect();
                fs::write(seed.join("a.u16"), text).expect("written");
            });
        }),
        case("behind, line ends by configuration", Behind, |s| {
            s.mine(&["config", "core.autocrlf", "true"]);
            s.someone("crlf.txt", "one\ntwo\n");
        }),
        case("behind, modes not trusted", Behind, |s| {
            s.mine(&["config", "core.fileMode", "false"]);
            fs::set_permissions(s.clone_dir().join("other.txt"), fs::Permissions::from_mode(0o755))
                .expect("set");
            behind(s);
        }),
    ]
}

fn dirty() -> Vec<Case> {
    vec![
        case("behind, same file changed", Behind, |s| {
            behind(s);
            s.edit("src/lib.rs", "mine\n");
        })
        .because("`src/lib.rs` is changed"),
        case("behind, another file changed", Behind, |s| {
            behind(s);
            s.edit("other.txt", "mine\n");
        })
        .because("`other.txt` is changed"),
        case("behind, changed to what is coming", Behind, |s| {
            behind(s);
            s.edit("src/lib.rs", "changed by somebody\n");
        })
        .because("is changed"),
        case("behind, same size and time", Behind, |s| {
            behind(s);
            let path = s.clone_dir().join("other.txt");
            let time = fs::metadata(&path).and_then(|meta| meta.modified()).expect("a time");
            s.edit("other.txt", "OTHER\n");
            fs::File::options()
                .write(true)
                .open(&path)
                .and_then(|file| file.set_modified(time))
                .expect("set");
        })
        .because("`other.txt` is changed"),
        case("behind, staged", Behind, |s| {
            behind(s);
            s.edit("other.txt", "mine\n");
            s.mine(&["add", "other.txt"]);
        })
        .because("is staged"),
        case("behind, staged and put back", Behind, |s| {
            behind(s);
            s.edit("other.txt", "mine\n");
            s.mine(&["add", "other.txt"]);
            s.edit("other.txt", "other\n");
        })
        .because("is staged"),
        case("behind, new file staged", Behind, |s| {
            behind(s);
            s.edit("new.txt", "n");
            s.mine(&["add", "new.txt"]);
        })
        .because("is staged"),
        case("behind, deletion staged", Behind, |s| {
            behind(s);
            s.mine(&["rm", "--quiet", "other.txt"]);
        })
        .because("is staged"),
        case("behind, removed from the index only", Behind, |s| {
            behind(s);
            s.mine(&["rm", "--quiet", "--cached", "other.txt"]);
        })
        .because("is staged"),
        case("behind, intended to be added", Behind, |s| {
            behind(s);
            s.edit("new.txt", "n");
            s.mine(&["add", "--intent-to-add", "new.txt"]);
        })
        .because("`new.txt` is"),
        case("behind, file deleted here", Behind, |s| {
            behind(s);
            fs::remove_file(s.clone_dir().join("other.txt")).expect("removed");
        })
        .because("is changed"),
        case("behind, made executable here", Behind, |s| {
            behind(s);
            fs::set_permissions(s.clone_dir().join("other.txt"), fs::Permissions::from_mode(0o755))
                .expect("set");
        })
        .because("is changed"),
        case("behind, file replaced by a link here", Behind, |s| {
            behind(s);
            let path = s.clone_dir().join("src/lib.rs");
            fs::remove_file(&path).expect("removed");
            symlink("/etc/passwd", path).expect("a link");
        })
        .because("is changed"),
        case("behind, folder replaced by a link here", Behind, |s| {
            behind(s);
            let src = s.clone_dir().join("src");
            fs::rename(&src, s.at("elsewhere")).expect("moved");
            symlink("../elsewhere", src).expect("a link");
        })
        .because("is changed"),
        case("behind, assumed unchanged and changed", Behind, |s| {
            behind(s);
            s.mine(&["update-index", "--assume-unchanged", "src/lib.rs"]);
            s.edit("src/lib.rs", "mine, unseen\n");
        })
        .because("differs from what was committed"),
        case("behind, skipped and changed", Behind, |s| {
            behind(s);
            s.mine(&["update-index", "--skip-worktree", "src/lib.rs"]);
            s.edit("src/lib.rs", "mine, unseen\n");
        })
        .because("differs from what was committed"),
        case("behind, another file assumed unchanged", Behind, |s| {
            behind(s);
            s.mine(&["update-index", "--assume-unchanged", "other.txt"]);
            s.edit("other.txt", "mine, unseen, untouched\n");
        }),
        case("behind, no index", Behind, |s| {
            behind(s);
            fs::remove_file(s.clone_dir().join(".git/index")).expect("removed");
        })
        .because("is staged"),
        case("behind, conflict left in the index", Behind, |s| {
            behind(s);
            s.mine(&["switch", "--quiet", "-c", "side", "HEAD~"]);
            s.i_commit("other.txt", "side\n");
            s.mine(&["switch", "--quiet", "main"]);
            assert!(try_git(&s.clone_dir(), &["merge", "side"]).is_err());
            fs::remove_file(s.clone_dir().join(".git/MERGE_HEAD")).expect("removed");
        })
        .because("has conflicts"),
    ]
}

fn in_the_way() -> Vec<Case> {
    vec![
        case("behind, untracked in the way", Behind, |s| {
            s.edit("coming.txt", "mine");
            s.someone("coming.txt", "theirs");
        })
        .because("`coming.txt` is not tracked here"),
        case("behind, same untracked in the way", Behind, |s| {
            s.edit("coming.txt", "same");
            s.someone("coming.txt", "same");
        })
        .because("is not tracked here"),
        case("behind, ignored in the way", Behind, |s| {
            s.edit("a.log", "mine");
            s.someone("a.log", "theirs");
        })
        .because("`a.log` is not tracked here"),
        case("behind, untracked folder in the way", Behind, |s| {
            s.edit("coming/in/side", "mine");
            s.someone("coming", "theirs");
        })
        .because("is not tracked here"),
        case("behind, untracked empty folder in the way", Behind, |s| {
            fs::create_dir_all(s.clone_dir().join("coming")).expect("made");
            s.someone("coming", "theirs");
        })
        .because("is not tracked here"),
        case("behind, untracked file where a folder comes", Behind, |s| {
            s.edit("coming", "mine");
            s.someone("coming/in/side", "theirs");
        })
        .because("is not tracked here"),
        case("behind, untracked link where a folder comes", Behind, |s| {
            symlink("..", s.clone_dir().join("coming")).expect("a link");
            s.someone("coming/side", "theirs");
        })
        .because("is not tracked here"),
        case("behind, folder becomes file around untracked", Behind, |s| {
            s.edit("alone/mine.txt", "mine");
            s.someone_does(|seed| {
                fs::remove_dir_all(seed.join("alone")).expect("removed");
                write(seed, "alone", "x");
            });
        })
        .because("`alone` is not tracked here"),
        case("diverged, untracked in the way", Diverged, |s| {
            s.i_commit("mine.txt", "m");
            s.edit("coming.txt", "mine");
            s.someone("coming.txt", "theirs");
        })
        .because("is not tracked here"),
    ]
}

/// Two branches that cannot be merged, `main` and `side`.
fn quarrel(s: &Scene) {
    s.mine(&["switch", "--quiet", "-c", "side"]);
    s.i_commit("other.txt", "side\n");
    s.mine(&["switch", "--quiet", "main"]);
    s.i_commit("other.txt", "main\n");
}

fn under_way() -> Vec<Case> {
    vec![
        case("a merge under way", Diverged, |s| {
            behind(s);
            quarrel(s);
            try_git(&s.clone_dir(), &["merge", "side"]).expect_err("a conflict");
        })
        .because("a merge is under way"),
        case("a resolved merge not committed", Diverged, |s| {
            behind(s);
            quarrel(s);
            try_git(&s.clone_dir(), &["merge", "side"]).expect_err("a conflict");
            s.mine(&["checkout", "--quiet", "--ours", "other.txt"]);
            s.mine(&["add", "other.txt"]);
        })
        .because("a merge is under way"),
        case("a rebase under way", Diverged, |s| {
            behind(s);
            quarrel(s);
            try_git(&s.clone_dir(), &["rebase", "side"]).expect_err("a conflict");
        })
        .because("a rebase is under way"),
        case("a cherry-pick under way", Diverged, |s| {
            behind(s);
            quarrel(s);
            try_git(&s.clone_dir(), &["cherry-pick", "side"]).expect_err("a conflict");
        })
        .because("a cherry-pick is under way"),
        case("a revert under way", Diverged, |s| {
            behind(s);
            quarrel(s);
            s.i_commit("other.txt", "later\n");
            try_git(&s.clone_dir(), &["revert", "HEAD~"]).expect_err("a conflict");
        })
        .because("a revert is under way"),
        case("a patch being applied", Diverged, |s| {
            behind(s);
            quarrel(s);
            let patch = s.mine(&["format-patch", "-1", "--stdout", "side"]);
            write(&s.at(""), "x.patch", &format!("{patch}\n"));
            try_git(&s.clone_dir(), &["am", "../x.patch"]).expect_err("a conflict");
        })
        .because("git am` is under way"),
        case("a bisect under way", Behind, |s| {
            behind(s);
            s.mine(&["bisect", "start"]);
        })
        .because("a bisect is under way"),
        case("a squashed merge waiting", Behind, |s| {
            behind(s);
            s.edit(".git/SQUASH_MSG", "squashed\n");
        })
        .because("a squashed merge"),
        case("index locked", Behind, |s| {
            behind(s);
            s.edit(".git/index.lock", "");
        })
        .because(".git/index.lock"),
        case("HEAD locked", Behind, |s| {
            behind(s);
            s.edit(".git/HEAD.lock", "");
        })
        .because(".git/HEAD.lock"),
        case("branch locked", Behind, |s| {
            behind(s);
            s.edit(".git/refs/heads/main.lock", "");
        })
        .because("refs/heads/main.lock"),
        case("packed refs locked", Behind, |s| {
            behind(s);
            s.edit(".git/packed-refs.lock", "");
        })
        .because("packed-refs.lock"),
        case("configuration locked", Behind, |s| {
            behind(s);
            s.edit(".git/config.lock", "");
        })
        .because("config.lock"),
    ]
}

fn heads() -> Vec<Case> {
    vec![
        case("detached behind", Behind, |s| {
            behind(s);
            s.mine(&["switch", "--quiet", "--detach"]);
        })
        .because("on no branch"),
        case("detached at the tip", InSync, |s| {
            s.mine(&["switch", "--quiet", "--detach"]);
        })
        .because("on no branch"),
        case("on another branch", Behind, |s| {
            behind(s);
            s.mine(&["switch", "--quiet", "-c", "feature"]);
        })
        .because("it is on `feature` and not on `main`"),
        case("no commit yet", Unknown, |s| {
            s.mine(&["switch", "--quiet", "--orphan", "fresh"]);
        })
        .because("no commit yet"),
        case("default branch renamed", InSync, |s| {
            let origin = s.at("origin.git");
            git(&origin, &["branch", "-m", "main", "trunk"]);
        })
        .because("it is on `main` and not on `trunk`"),
        case("branch named in the configuration", Behind, |s| {
            let seed = s.at("seed");
            git(&seed, &["switch", "--quiet", "-c", "develop"]);
            s.mine(&["switch", "--quiet", "-c", "develop"]);
            s.someone("other.txt", "on develop\n");
            s.branch = Some("develop".to_owned());
        }),
        case("branch that the remote has not", Unknown, |s| s.branch = Some("nowhere".to_owned()))
            .because("has no branch `nowhere`"),
        case("branch with a slash", Behind, |s| {
            let seed = s.at("seed");
            git(&seed, &["switch", "--quiet", "-c", "team/x"]);
            s.mine(&["switch", "--quiet", "-c", "team/x"]);
            s.someone("other.txt", "on team/x\n");
            s.branch = Some("team/x".to_owned());
        }),
        case("checked out twice", Behind, |s| {
            behind(s);
            s.mine(&["worktree", "add", "--quiet", "--force", "../second", "main"]);
        })
        .because("is checked out in the worktree"),
        case("another worktree on another branch", Behind, |s| {
            behind(s);
            s.mine(&["worktree", "add", "--quiet", "-b", "other", "../second"]);
        }),
        case("a linked worktree", Behind, |s| {
            s.mine(&["switch", "--quiet", "-c", "away"]);
            s.mine(&["worktree", "add", "--quiet", "../second", "main"]);
            behind(s);
            s.path = s.at("second");
        }),
        case("branch by another name", Behind, |s| {
            behind(s);
            s.mine(&["branch", "real"]);
            s.mine(&["symbolic-ref", "refs/heads/main", "refs/heads/real"]);
        })
        .because("is another name of a branch"),
    ]
}

fn remotes() -> Vec<Case> {
    vec![
        case("remote gone", Unknown, |s| {
            fs::remove_dir_all(s.at("origin.git")).expect("removed");
        })
        .because("no repository at"),
        case("nobody listens", Unknown, |s| {
            s.mine(&["remote", "set-url", "origin", "http://127.0.0.1:9/o/r.git"]);
        })
        .because("could not reach"),
        case("no origin", Unknown, |s| {
            s.mine(&["remote", "remove", "origin"]);
        })
        .because("no remote `origin`"),
        case("remote without a commit", Unknown, |s| {
            fs::remove_dir_all(s.at("origin.git")).expect("removed");
            git(&s.at(""), &["init", "--quiet", "--bare", "origin.git"]);
        })
        .because("has no commit"),
        case("origin that is a program", Unknown, |s| {
            s.mine(&["remote", "set-url", "origin", "ext::sh -c 'touch ran'"]);
        })
        .because("no address that Foreman fetches from"),
        case("origin over SSH elsewhere", Unknown, |s| {
            s.mine(&["remote", "set-url", "origin", "git@git.example.org:o/r.git"]);
        })
        .because("SSH address"),
        case("origin as a file address", Behind, |s| {
            behind(s);
            let url = format!("file://{}", s.at("origin.git").display());
            s.mine(&["remote", "set-url", "origin", &url]);
        }),
        case("remote is an ordinary clone", Behind, |s| {
            behind(s);
            s.mine(&["remote", "set-url", "origin", "../seed"]);
        }),
    ]
}

fn histories() -> Vec<Case> {
    let mut cases = vec![
        case("diverged, different files", Diverged, |s| {
            s.someone("theirs.txt", "t");
            s.i_commit("mine.txt", "m");
        }),
        case("diverged, untracked and ignored", Diverged, |s| {
            s.someone("theirs.txt", "t");
            s.i_commit("mine.txt", "m");
            s.edit("new.txt", "n");
            s.edit("a.log", "n");
        }),
        case("diverged, same file in different places", Diverged, |s| {
            let text = fs::read_to_string(s.clone_dir().join("src/lib.rs")).expect("read");
            s.someone("src/lib.rs", &text.replace("line 1\n", "theirs\n"));
            s.i_commit("src/lib.rs", &text.replace("line 35\n", "mine\n"));
        }),
        case("diverged, the same change", Diverged, |s| {
            s.someone("other.txt", "agreed\n");
            s.i_commit("other.txt", "agreed\n");
            s.i_commit("mine.txt", "m");
        }),
        case("diverged, renamed there and changed here", Diverged, |s| {
            s.someone_does(|seed| {
                fs::rename(seed.join("src/lib.rs"), seed.join("src/moved.rs")).expect("moved")
            });
            let text = fs::read_to_string(s.clone_dir().join("src/lib.rs")).expect("read");
            s.i_commit("src/lib.rs", &format!("{text}// more\n"));
        }),
        case("diverged, conflict", Diverged, |s| {
            s.someone("other.txt", "theirs\n");
            s.i_commit("other.txt", "mine\n");
        })
        .because("both sides changed `other.txt`")
        .conflict(),
        case("diverged, both added", Diverged, |s| {
            s.someone("new.txt", "theirs\n");
            s.i_commit("new.txt", "mine\n");
        })
        .because("`new.txt`")
        .conflict(),
        case("diverged, changed there and deleted here", Diverged, |s| {
            s.someone("other.txt", "theirs\n");
            s.mine(&["rm", "--quiet", "other.txt"]);
            s.mine(&["commit", "--quiet", "-m", "gone"]);
        })
        .because("`other.txt`")
        .conflict(),
        case("diverged, binary conflict", Diverged, |s| {
            s.someone_does(|seed| {
                write(seed, ".gitattributes", "other.txt binary\n");
                write(seed, "other.txt", "other\ntheirs\n");
            });
            s.edit(".gitattributes", "other.txt binary\n");
            s.i_commit("other.txt", "mine\nother\n");
        })
        .because("`other.txt`")
        .conflict(),
        case("diverged, a merge program of its own", Diverged, |s| {
            s.edit(".gitattributes", "*.rs merge=ours-always\n");
            let text = fs::read_to_string(s.clone_dir().join("src/lib.rs")).expect("read");
            s.mine(&["config", "merge.ours-always.driver", "true"]);
            s.someone("src/lib.rs", &text.replace("line 1\n", "theirs\n"));
            s.i_commit("src/lib.rs", &text.replace("line 35\n", "mine\n"));
        })
        .because("merged by a program of its own"),
    ];
    cases.extend(rewritten());
    cases
}

fn rewritten() -> Vec<Case> {
    vec![
        case("unrelated histories", Diverged, |s| {
            s.someone_does(|seed| {
                git(seed, &["switch", "--quiet", "--orphan", "anew"]);
                git(seed, &["branch", "--quiet", "-D", "main"]);
                git(seed, &["symbolic-ref", "HEAD", "refs/heads/main"]);
                write(seed, "another.txt", "beginning");
            });
        })
        .because("no commit in common")
        .conflict(),
        case("rewritten under us", Diverged, |s| {
            s.someone_does(|seed| {
                git(seed, &["reset", "--quiet", "--hard", "HEAD~"]);
                write(seed, "instead.txt", "i");
            });
        })
        .because("was rewritten"),
        case("rewritten and fetched by its owner", Diverged, |s| {
            s.someone_does(|seed| {
                git(seed, &["reset", "--quiet", "--hard", "HEAD~"]);
                write(seed, "instead.txt", "i");
            });
            // Its owner had fetched before as well, so that there is a log.
            s.mine(&["fetch", "--quiet"]);
            s.mine(&["fetch", "--quiet"]);
        })
        .because("was rewritten"),
        case("rewritten after it was fetched", Behind, |s| {
            s.someone("dropped.txt", "d");
            s.mine(&["fetch", "--quiet"]);
            s.someone_does(|seed| {
                git(seed, &["reset", "--quiet", "--hard", "HEAD~"]);
                write(seed, "instead.txt", "i");
            });
        })
        .because("was rewritten"),
        case("remote taken back", Ahead, |s| {
            let seed = s.at("seed");
            git(&seed, &["reset", "--quiet", "--hard", "HEAD~"]);
            git(&seed, &["push", "--quiet", "--force", "origin", "HEAD"]);
        })
        .because("was rewritten"),
    ]
}

fn nested() -> Vec<Case> {
    fn with_submodule(s: &Scene) {
        git(&s.at(""), &["clone", "--quiet", "--bare", "seed", "library.git"]);
        s.someone_does(|seed| {
            let url = s.at("library.git");
            git(seed, &["submodule", "--quiet", "add", &url.to_string_lossy(), "lib"]);
        });
        s.mine(&["pull", "--quiet"]);
        s.mine(&["submodule", "--quiet", "update", "--init"]);
    }
    vec![
        case("behind, a submodule that stays", Behind, |s| {
            with_submodule(s);
            behind(s);
        }),
        case("behind, a submodule changed inside", Behind, |s| {
            with_submodule(s);
            s.edit("lib/other.txt", "mine\n");
            behind(s);
        }),
        case("behind, a submodule on another commit", Behind, |s| {
            with_submodule(s);
            git(&s.clone_dir().join("lib"), &["switch", "--quiet", "--detach", "HEAD~"]);
            behind(s);
        })
        .because("`lib` is changed"),
        case("behind, a submodule that moves", Behind, |s| {
            with_submodule(s);
            s.someone_does(|seed| {
                git(&seed.join("lib"), &["switch", "--quiet", "--detach", "HEAD~"]);
            });
        })
        .because("submodule `lib`"),
        case("behind, a submodule not checked out", Behind, |s| {
            with_submodule(s);
            s.mine(&["submodule", "--quiet", "deinit", "--force", "lib"]);
            behind(s);
        }),
        case("behind, untracked repository inside", Behind, |s| {
            git(&s.clone_dir(), &["init", "--quiet", "inner"]);
            s.edit("inner/a.txt", "a");
            behind(s);
        }),
        case("behind, LFS file that changes", Behind, |s| {
            s.someone_does(|seed| {
                write(seed, ".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
                write(
                    seed,
                    "a.bin",
                    "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
                );
            });
        })
        .because("filter `lfs`"),
        case("behind, LFS file that stays", Behind, |s| {
            s.someone_does(|seed| {
                write(seed, ".gitattributes", "*.bin filter=lfs -text\n");
                write(
                    seed,
                    "a.bin",
                    "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
                );
            });
            s.mine(&["pull", "--quiet"]);
            behind(s);
        }),
    ]
}

fn formats() -> Vec<Case> {
    fn again(s: &Scene, args: &[&str]) {
        fs::remove_dir_all(s.clone_dir()).expect("removed");
        let url = format!("file://{}", s.at("origin.git").display());
        let args: Vec<&str> = ["clone", "--quiet"]
            .into_iter()
            .chain(args.iter().copied())
            .chain([url.as_str(), "clone"])
            .collect();
        git(&s.at(""), &args);
    }
    vec![
        case("shallow, in sync", InSync, |s| again(s, &["--depth=1"])),
        case("shallow, behind", Behind, |s| {
            again(s, &["--depth=1"]);
            behind(s);
        }),
        case("shallow, diverged", Diverged, |s| {
            again(s, &["--depth=1"]);
            behind(s);
            s.i_commit("mine.txt", "m");
        }),
        case("shallow, common history not reached", Unknown, |s| {
            again(s, &["--depth=1"]);
            s.someone_does(|seed| {
                git(seed, &["reset", "--quiet", "--hard", "HEAD~"]);
                write(seed, "instead.txt", "i");
            });
            fs::remove_file(s.clone_dir().join(".git/packed-refs")).ok();
        })
        .because("git fetch --unshallow"),
        case("borrowing another's objects", Behind, |s| {
            fs::remove_dir_all(s.clone_dir()).expect("removed");
            git(&s.at(""), &["clone", "--quiet", "--shared", "seed", "clone"]);
            s.mine(&["remote", "set-url", "origin", "../origin.git"]);
            behind(s);
        }),
        case("git directory elsewhere", Behind, |s| {
            again(s, &["--separate-git-dir=elsewhere.git"]);
            behind(s);
        }),
        case("reached through a link", Behind, |s| {
            behind(s);
            symlink("clone", s.at("by-link")).expect("a link");
            s.path = s.at("by-link");
        }),
        case("path with blanks and signs", Behind, |s| {
            behind(s);
            let odd = s.at("a \"clone\" — für:mich");
            fs::rename(s.clone_dir(), &odd).expect("moved");
            s.path = odd;
        }),
        case("sparse", Behind, |s| {
            s.mine(&["sparse-checkout", "set", "src"]);
            behind(s);
        })
        .because("sparse checkout"),
        case("index split", Behind, |s| {
            s.mine(&["update-index", "--split-index"]);
            behind(s);
        })
        .because("index is split"),
        case("core.worktree elsewhere", Behind, |s| {
            behind(s);
            s.mine(&["config", "core.worktree", "/tmp"]);
        })
        .because("core.worktree"),
        case("core.worktree here", Behind, |s| {
            behind(s);
            s.mine(&["config", "core.worktree", &s.clone_dir().to_string_lossy()]);
        }),
        case("core.bare with files", Behind, |s| {
            behind(s);
            s.mine(&["config", "core.bare", "true"]);
        })
        .because("core.bare"),
        case("objects by SHA-256", Unknown, |s| {
            fs::remove_dir_all(s.clone_dir()).expect("removed");
            git(&s.at(""), &["init", "--quiet", "--object-format=sha256", "clone"]);
        })
        .because("SHA-256"),
        case("refs in a table", Unknown, |s| {
            again(s, &["--ref-format=reftable"]);
        })
        .because("refs in a table"),
        case("an extension nobody knows", Unknown, |s| {
            s.mine(&["config", "core.repositoryformatversion", "1"]);
            s.mine(&["config", "extensions.future", "true"]);
        })
        .because("extension `future`"),
        case("a lost object", Unknown, |s| {
            s.mine(&["repack", "-a", "-d", "--quiet"]);
            behind(s);
            let packs = s.clone_dir().join(".git/objects/pack");
            fs::remove_dir_all(packs).expect("removed");
        })
        .because("do not hold what is checked out"),
        case("nothing there", Unknown, |s| s.path = s.at("nowhere")).because("there is nothing at"),
        case("a file", Unknown, |s| s.path = s.at("clone/README.md")).because("is not a folder"),
        case("no repository", Unknown, |s| {
            fs::remove_dir_all(s.clone_dir().join(".git")).expect("removed");
        })
        .because("is not a git repository"),
        case("bare", Unknown, |s| s.path = s.at("origin.git")).because("is a bare repository"),
        case("a folder inside", Unknown, |s| s.path = s.at("clone/src"))
            .because("name its top folder"),
        case("a pipe for a HEAD", Unknown, |s| {
            let head = s.clone_dir().join(".git/HEAD");
            fs::remove_file(&head).expect("removed");
            assert!(
                std::process::Command::new("mkfifo").arg(&head).status().expect("mkfifo").success()
            );
        })
        .because("is not a git repository"),
        case("a HEAD that leads out", Unknown, |s| {
            s.edit(".git/HEAD", "ref: refs/heads/../../../x\n")
        })
        .because("is no name of a ref"),
        case("a git directory that is a link", Unknown, |s| {
            let git_dir = s.clone_dir().join(".git");
            fs::rename(&git_dir, s.at("moved.git")).expect("moved");
            symlink(s.at("moved.git"), git_dir).expect("a link");
        })
        .because("neither a folder nor a file"),
    ]
}
