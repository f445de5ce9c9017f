//! No path leads out of the workspace, and none into `.git`.

use super::*;

struct Scene {
    _root: tempfile::TempDir,
    outside: PathBuf,
    top: PathBuf,
    files: Workspace,
}

fn scene() -> Scene {
    let root = tempfile::tempdir().expect("a folder");
    let (top, outside) = (root.path().join("work"), root.path().join("outside"));
    std::fs::create_dir_all(top.join(".git")).expect("folders");
    std::fs::create_dir_all(&outside).expect("a folder");
    std::fs::write(outside.join("secret"), "s").expect("a file");
    std::fs::write(top.join("a.txt"), "one\ntwo\n").expect("a file");
    let files = Workspace::open(&top, Path::new("/workspace"), None).expect("opened");
    Scene { outside, top, files, _root: root }
}

#[test]
fn files_are_named_in_every_way_models_name_them() {
    let scene = scene();
    let absolute = scene.top.join("a.txt").display().to_string();
    for name in ["a.txt", "./a.txt", "/workspace/a.txt", "x/../a.txt", absolute.as_str()] {
        assert_eq!(scene.files.read(name).expect(name), "one\ntwo\n", "{name}");
    }
}

#[test]
fn nothing_outside_is_read_or_written() {
    let scene = scene();
    std::os::unix::fs::symlink(&scene.outside, scene.top.join("out")).expect("a link");
    std::os::unix::fs::symlink("../outside/secret", scene.top.join("rel")).expect("a link");
    std::os::unix::fs::symlink("/etc", scene.top.join("etc")).expect("a link");
    for name in ["../outside/secret", "/etc/passwd", "out/secret", "rel", "etc/passwd", "a/../../x"]
    {
        assert!(scene.files.read(name).is_err(), "read {name}");
        assert!(scene.files.write(name, "x").is_err(), "wrote {name}");
    }
    assert!(scene.files.write("out/new/file", "x").is_err());
    assert_eq!(std::fs::read_to_string(scene.outside.join("secret")).expect("a file"), "s");
    assert_eq!(std::fs::read_dir(&scene.outside).expect("a folder").count(), 1);
}

#[test]
fn git_is_not_written_under_any_name() {
    let scene = scene();
    std::os::unix::fs::symlink(".git", scene.top.join("link")).expect("a link");
    std::os::unix::fs::symlink(".git/config", scene.top.join("conf")).expect("a link");
    std::fs::write(scene.top.join(".git/config"), "c").expect("a file");
    for name in [".git/config", ".GIT/hooks/x", "sub/.git/config", "link/config", "conf", ".git"] {
        assert!(matches!(scene.files.write(name, "x"), Err(FileError::Git(_))), "{name}");
    }
    assert_eq!(std::fs::read_to_string(scene.top.join(".git/config")).expect("a file"), "c");
}

#[test]
fn writing_makes_folders_keeps_modes_and_breaks_hard_links() {
    use std::os::unix::fs::PermissionsExt as _;
    let scene = scene();
    scene.files.write("deep/er/new.rs", "x").expect("written");
    assert_eq!(scene.files.read("deep/er/new.rs").expect("read"), "x");
    let script = scene.top.join("run.sh");
    std::fs::write(&script, "old").expect("a file");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    std::fs::hard_link(&script, scene.outside.join("linked")).expect("a link");
    scene.files.write("run.sh", "new").expect("written");
    let mode = std::fs::metadata(&script).expect("metadata").permissions().mode() & 0o777;
    assert_eq!(mode, 0o755);
    assert_eq!(std::fs::read_to_string(scene.outside.join("linked")).expect("read"), "old");
    assert_eq!(std::fs::read_dir(&scene.top).expect("a folder").count(), 4, "nothing is left over");
    let made = std::fs::metadata(scene.top.join("deep/er/new.rs")).expect("metadata");
    assert_eq!(made.permissions().mode() & 0o400, 0o400);
}

#[test]
fn what_is_not_a_text_file_is_said_to_be_so() {
    let scene = scene();
    std::fs::write(scene.top.join("bin"), [0xff, 0xfe, 0]).expect("a file");
    assert!(matches!(scene.files.read("bin"), Err(FileError::Binary(_))));
    assert!(matches!(scene.files.read("nope"), Err(FileError::NotFound(_))));
    assert!(matches!(scene.files.read(".git"), Err(FileError::NotAFile(_))));
    assert!(matches!(scene.files.write("", "x"), Err(FileError::NotAFile(_))));
}
