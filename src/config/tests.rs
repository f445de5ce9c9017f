//! The configuration from any environment: defaults, every variable's mistakes, the file's.

use std::path::Path;

use super::*;
use crate::domain::money::Usd;

fn load_in(cwd: &Path, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let lookup = |name: &str| {
        variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
    };
    Config::load(&lookup, cwd)
}

fn load(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let cwd = tempfile::tempdir().expect("a folder");
    load_in(cwd.path(), variables)
}

fn with_file(text: &str) -> Result<Config, ConfigError> {
    let cwd = tempfile::tempdir().expect("a folder");
    std::fs::write(cwd.path().join("foreman.toml"), text).expect("written");
    load_in(cwd.path(), &[])
}

const PEM: &str =
    "-----BEGIN RSA PRIVATE KEY-----\nabcdefghijklmnopqrstuvwxyz\n-----END RSA PRIVATE KEY-----";

#[test]
fn an_empty_environment_gives_the_contracts_defaults() {
    let cwd = tempfile::tempdir().expect("a folder");
    let config = load_in(cwd.path(), &[("GITHUB_TOKEN", ""), ("PORT", "  ")]).expect("valid");
    assert_eq!((config.server.host.as_str(), config.server.port), ("127.0.0.1", 3000));
    assert_eq!(config.server.url, "http://127.0.0.1:3000");
    assert_eq!(config.server.base_path, "");
    assert!(config.auth.tokens.is_empty() && config.github.credential.is_none());
    assert_eq!(config.data_dir, cwd.path().join(".foreman"));
    assert!(
        matches!(&config.database, Database::Sqlite(path) if path == &cwd.path().join(".foreman/foreman.db"))
    );
    assert_eq!(config.github.api_url.as_str(), "https://api.github.com/");
    assert_eq!(config.models.base_url.as_str(), "https://api.openai.com/v1");
    assert_eq!(config.shutdown, Duration::from_secs(25));
    assert!(config.overnight_enabled && !config.desktop.enabled);
    assert_eq!(config.sandbox, SandboxMode::Auto);
    assert_eq!(config.limits.night_usd, Usd::from_usd(10.0));
    assert_eq!(config.limits.day_usd, Usd::from_usd(25.0));
    assert_eq!(config.limits.month_usd, Usd::from_usd(200.0));
    assert_eq!(config.limits.issue_usd, None);
    assert_eq!(config.night_defaults(), NightConfig::default());
    assert!(config.secrets().is_empty());
}

#[test]
fn every_variables_mistake_is_one_line_that_names_it() {
    let cases: &[(&str, &[&str])] = &[
        ("HOST", &["not a host", "127.0.0.300", "-x", "a..b", "http://x"]),
        ("PORT", &["abc", "65536", "-1", "80.5", "0x50"]),
        ("FOREMAN_API_TOKEN", &["two words", "a:b", "ann:boss:x"]),
        (
            "DATABASE_URL",
            &["mysql://x/y", "foreman.db", "sqlite://", "sqlite://:memory:", "sqlite://dir/"],
        ),
        ("FOREMAN_CONFIG", &["missing.toml"]),
        (
            "GITHUB_API_URL",
            &["api.github.com", "ftp://x", "https://u:p@x/", "https://x/?a=b", "https://"],
        ),
        ("GITHUB_TOKEN", &["two words"]),
        ("GITHUB_APP_ID", &["abc", "0", "-4"]),
        ("GITHUB_APP_PRIVATE_KEY", &["not a key"]),
        ("OPENAI_BASE_URL", &["x", "file:///x"]),
        ("OVERNIGHT_EXECUTION_ENABLED", &["maybe", "2", "yes please"]),
        ("DESKTOP_BUILDER_ENABLED", &["maybe"]),
        ("LOCAL_BUILDER_BASE_URL", &["x", "http://u@x/"]),
        ("LOCAL_BUILDER_MODEL", &["alone"]),
        ("FOREMAN_SANDBOX", &["maybe", "Auto ", "docker"]),
        ("FOREMAN_SHUTDOWN_SECONDS", &["0", "601", "abc", "1.5", "-1"]),
        ("FOREMAN_BASE_PATH", &["foreman", "/a b", "/a//b", "/../x", "/a?b"]),
        ("FOREMAN_URL", &["localhost:3000", "x"]),
        ("RUST_LOG", &["foreman=loud", "a=b=c"]),
        ("FOREMAN_LOG_FORMAT", &["xml", "JSON"]),
    ];
    for (name, values) in cases {
        for value in *values {
            let mut variables = vec![(*name, *value)];
            if *name == "GITHUB_APP_PRIVATE_KEY" {
                variables.push(("GITHUB_APP_ID", "7"));
            }
            let Err(error) = load(&variables) else { panic!("{name}={value} was taken") };
            let text = error.to_string();
            assert!(text.contains(name), "{name}={value}: {text}");
            assert!(!text.contains('\n'), "{name}={value}: {text}");
        }
    }
}

#[test]
fn an_error_says_what_it_got_and_what_it_takes() {
    let text = load(&[("PORT", "abc")]).expect_err("refused").to_string();
    assert_eq!(text, "PORT is `abc`; it takes a number from 0 to 65535");
}

#[test]
fn secrets_are_never_shown() {
    for variables in [
        vec![("DATABASE_URL", "mysql://u:hunter22@h/x")],
        vec![("GITHUB_API_URL", "https://u:hunter22@h/x?")],
        vec![("GITHUB_APP_ID", "7"), ("GITHUB_APP_PRIVATE_KEY", "hunter22")],
        vec![("GITHUB_TOKEN", "hunter22 x")],
    ] {
        let text = load(&variables).expect_err("refused").to_string();
        assert!(!text.contains("hunter22"), "{text}");
    }
}

#[test]
fn without_a_token_only_loopback() {
    for host in ["0.0.0.0", "::", "192.168.1.4", "example.org"] {
        let text = load(&[("HOST", host)]).expect_err(host).to_string();
        assert!(text.contains("FOREMAN_API_TOKEN") && text.contains(host), "{text}");
        load(&[("HOST", host), ("FOREMAN_API_TOKEN", "s3cret")]).expect("with a token");
    }
    for host in ["localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]"] {
        load(&[("HOST", host)]).expect(host);
    }
    let config = load(&[("HOST", "::1"), ("FOREMAN_BASE_PATH", "/f/")]).expect("valid");
    assert_eq!(config.server.url, "http://[::1]:3000/f");
}

#[test]
fn secrets_come_from_files_but_not_from_both() {
    let cwd = tempfile::tempdir().expect("a folder");
    std::fs::write(cwd.path().join("token"), "ghp_fromfile\n").expect("written");
    std::fs::write(cwd.path().join("empty"), "\n").expect("written");
    let config = load_in(cwd.path(), &[("GITHUB_TOKEN_FILE", "token")]).expect("valid");
    assert_eq!(config.secrets(), ["ghp_fromfile"]);
    for (variables, word) in [
        (vec![("GITHUB_TOKEN_FILE", "token"), ("GITHUB_TOKEN", "x")], "both"),
        (vec![("GITHUB_TOKEN_FILE", "absent")], "cannot be read"),
        (vec![("GITHUB_TOKEN_FILE", "empty")], "empty"),
    ] {
        let text = load_in(cwd.path(), &variables).expect_err(word).to_string();
        assert!(text.contains("GITHUB_TOKEN") && text.contains(word), "{text}");
    }
}

#[test]
fn a_github_app_takes_both_variables_and_a_key_as_text_or_path() {
    let cwd = tempfile::tempdir().expect("a folder");
    std::fs::write(cwd.path().join("app.pem"), PEM).expect("written");
    let escaped = PEM.replace('\n', "\\n");
    for key in [PEM, escaped.as_str(), "app.pem"] {
        let config =
            load_in(cwd.path(), &[("GITHUB_APP_ID", "7"), ("GITHUB_APP_PRIVATE_KEY", key)])
                .expect("valid");
        assert!(matches!(
            &config.github.credential,
            Some(GitHubCredential::App { id: 7, private_key }) if private_key.expose_secret() == PEM
        ));
    }
    for variables in [
        vec![("GITHUB_APP_ID", "7")],
        vec![("GITHUB_APP_PRIVATE_KEY", PEM)],
        vec![("GITHUB_TOKEN", "ghp_x"), ("GITHUB_APP_ID", "7"), ("GITHUB_APP_PRIVATE_KEY", PEM)],
    ] {
        let text = load(&variables).expect_err("refused").to_string();
        assert!(text.contains("GITHUB_APP"), "{text}");
    }
}

#[test]
fn dot_env_never_overrides_the_environment() {
    let cwd = tempfile::tempdir().expect("a folder");
    let text = "PORT=4000\nGITHUB_TOKEN='ghp dot'\nOPENAI_API_KEY=sk-dot # a comment\n";
    std::fs::write(cwd.path().join(".env"), text).expect("written");
    let variables = [("PORT", "5000"), ("GITHUB_TOKEN", "")];
    let config = load_in(cwd.path(), &variables).expect("valid");
    assert_eq!(config.server.port, 5000);
    assert!(config.github.credential.is_none(), "an empty value in the environment unsets");
    assert_eq!(config.secrets(), ["sk-dot"]);

    std::fs::write(cwd.path().join(".env"), "GITHUB_TOKEN=hunter22 hunter23\n").expect("written");
    let error = load_in(cwd.path(), &[]).expect_err("refused").to_string();
    assert!(error.contains("GITHUB_TOKEN") && !error.contains("hunter2"), "{error}");
}

#[test]
fn postgres_passwords_are_secrets() {
    let config = load(&[("DATABASE_URL", "postgres://u:hunter22@h/x")]).expect("valid");
    assert_eq!(config.secrets(), ["postgres://u:hunter22@h/x", "hunter22"]);
    let config = load(&[("DATABASE_URL", "sqlite:///srv/f.db")]).expect("valid");
    assert!(matches!(&config.database, Database::Sqlite(path) if path == Path::new("/srv/f.db")));
}

#[test]
fn the_file_knows_every_key_of_the_contract() {
    let config = with_file(
        r#"
        [tiers."gpt-5.1"]
        model = "gpt-5.1"
        base_url = "https://example.org/v1"
        api_key_env = "MY_KEY"
        input_window = 272000
        output_window = 128000
        price_input = 1.25
        price_cached = 0.125
        price_output = 10
        last_day = "2027-04-01"
        replacement = "gpt-6"
        [tiers.local-builder]
        last_day = 2027-04-01
        [escalation]
        default_model = "gpt-4"
        rules = { heavy_task = "gpt-4-turbo" }
        fallback_chain = ["gpt-5.1", "local-builder"]
        auto_heal = false
        review = "before"
        review_per_day = 2
        [escalation.labels]
        complexity_high = ["urgent"]
        [limits]
        daily = 5
        hourly = 4
        concurrent = 3
        night_usd = 1.5
        day_usd = "none"
        month_usd = 0
        issue_usd = 1
        steps = 9
        tokens = 1000
        minutes = 2
        [trust]
        authors = "all"
        approval_label = "ok"
        [desktop]
        enabled = true
        interval_minutes = 5
        switch_after_failures = 2
        return_after_healthy = 1
        [[desktop.repositories]]
        id = "site"
        path = "site"
        branch = "main"
        [setup]
        registries = ["crates.io"]
        [alerts]
        min_severity = "critical"
        webhook_url = "https://example.org/hook"
        [git]
        author_name = "Night Shift"
        author_email = "night@example.org"
        message = "{title}"
        "#,
    )
    .expect("valid");
    let tier = &config.models.tiers[&ModelTier::Gpt51];
    assert_eq!((tier.price_output, tier.input_window), (Some(10.0), Some(272_000)));
    assert!(config.models.tiers[&ModelTier::LocalBuilder].last_day.is_some());
    assert_eq!(config.limits.day_usd, None);
    assert_eq!(config.limits.month_usd, Some(Usd::ZERO));
    assert_eq!(config.trust.authors, Authors::All);
    assert_eq!(config.desktop.repositories[0].id, "site");
    assert!(config.desktop.repositories[0].path.is_absolute());
    let night = config.night_defaults();
    assert_eq!((night.budget_usd, night.enable_auto_heal), (Usd::from_usd(1.5), false));
    assert_eq!(config.publish.author_name, "Night Shift");
}

#[test]
fn the_files_mistakes_say_line_and_column() {
    let cases = [
        ("[limits]\nnigth_usd = 3\n", ":2:1: unknown field `nigth_usd`"),
        ("[limit]\n", ":1:2: unknown field `limit`"),
        ("[limits]\ndaily = -1\n", ":2:9: "),
        ("[limits]\nnight_usd = -1\n", ":2:13: "),
        ("[limits]\nnight_usd = \"lots\"\n", ":2:13: "),
        ("[tiers.gpt-9]\nmodel = \"x\"\n", ":1:8: unknown variant `gpt-9`"),
        ("[trust]\nauthors = \"some\"\n", ":2:11: "),
        ("[trust\n", ":1:7: "),
        ("[tiers.\"gpt-4\"]\nbase_url = \"x\"\n", ":2:12: "),
        ("[tiers.\"gpt-4\"]\nlast_day = \"soon\"\n", ":2:12: "),
        ("[limits]\nsteps = 0\n", "limits.steps is `0`; it takes a number from 1 to 10000"),
        ("[tiers.\"gpt-4\"]\nprice_input = -1.0\n", "tiers.\"gpt-4\".price_input is `-1`"),
        ("[escalation]\nfallback_chain = []\n", "escalation.fallback_chain"),
        ("[escalation]\nrules = { boredom = \"gpt-4\" }\n", ":2:11: "),
        ("[trust]\napproval_label = \"\"\n", "trust.approval_label"),
        ("[git]\nauthor_name = \"a<b\"\n", "git.author_name"),
        ("[[desktop.repositories]]\nid = \"a b\"\npath = \"x\"\n", "desktop.repositories.id"),
        ("[tiers.\"gpt-4\"]\napi_key_env = \"sk-hunter22\"\n", "tiers.\"gpt-4\".api_key_env"),
    ];
    for (text, expected) in cases {
        let error = with_file(text).expect_err(text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
        assert!(!error.contains('\n') && !error.contains("hunter22"), "{text}: {error}");
    }
}

#[test]
fn the_example_file_holds_every_variable() {
    let text = include_str!("../../.env.example");
    for variable in VARIABLES {
        let line = format!("#{}=", variable.name);
        assert!(text.lines().any(|l| l.starts_with(&line)), "{} is missing", variable.name);
        if variable.secret {
            let line = format!("#{}_FILE=", variable.name);
            assert!(
                text.lines().any(|l| l.starts_with(&line)),
                "{}_FILE is missing",
                variable.name
            );
        }
    }
    for line in text.lines().filter_map(|line| line.strip_prefix('#')) {
        if let Some((name, _)) = line.split_once('=')
            && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
        {
            assert!(variables::is_known(name), "{name} is not a variable of Foreman");
        }
    }
}
