//! The shipped table, its overrides, and every way it refuses to start.

use super::*;
use crate::domain::money::{Usage, Usd};

fn day(text: &str) -> NaiveDate {
    text.parse().expect("a date")
}

fn defaults(key: Option<&str>) -> DefaultEndpoint {
    DefaultEndpoint {
        base_url: Url::parse("https://api.openai.com/v1").expect("an address"),
        api_key: key.map(SecretString::from),
    }
}

fn table(toml: &str, key: Option<&str>, today: &str) -> Result<TierTable, ModelsError> {
    let overrides: BTreeMap<ModelTier, TierOverride> = toml::from_str(toml).expect("toml");
    tier_table(&overrides, &defaults(key), None, day(today), |name| {
        (name == "MY_KEY").then(|| SecretString::from("k-own"))
    })
}

#[test]
fn the_shipped_table() {
    let table = table("", Some("sk-1"), "2026-11-22").expect("a table");
    assert_eq!(
        table.live(day("2026-11-22")),
        [ModelTier::Gpt51, ModelTier::Gpt4Turbo, ModelTier::Gpt4]
    );
    let models: Vec<&str> = table.iter().map(|tier| tier.model.model.as_str()).collect();
    assert_eq!(models, ["gpt-5.1", "gpt-5.6-sol", "gpt-5-mini"]);
    assert!(table.iter().all(|tier| tier.paid));
    let usage = Usage { prompt_tokens: 1_000, cached_tokens: 600, completion_tokens: 200 };
    let cost = |tier| table.get(tier).map(|tier: &Tier| tier.model.price.cost(usage));
    assert_eq!(cost(ModelTier::Gpt51), Some(Usd::from_nanos(2_575_000)));
    // 400 x 4 + 600 x 0.40 + 200 x 20 per million
    assert_eq!(cost(ModelTier::Gpt4Turbo), Some(Usd::from_nanos(5_840_000)));
    // 400 x 0.25 + 600 x 0.025 + 200 x 2 per million
    assert_eq!(cost(ModelTier::Gpt4), Some(Usd::from_nanos(515_000)));
    assert_eq!(table.get(ModelTier::Gpt51).map(|tier| tier.model.input_window), Some(272_000));
}

#[test]
fn a_model_past_its_last_day_gives_way_or_is_skipped() {
    let shipped = table("", Some("sk-1"), "2027-04-01").expect("a table");
    assert!(shipped.get(ModelTier::Gpt51).is_some());
    assert!(!shipped.live(day("2027-04-02")).contains(&ModelTier::Gpt51));
    let later = table("", Some("sk-1"), "2027-04-02").expect("a table");
    assert!(later.get(ModelTier::Gpt51).is_none());
    assert!(later.left_out()[0].why.contains("answered until 2027-04-01"), "{later:?}");
    let retired = table("[gpt-4]\nmodel = \"gpt-4\"", Some("sk-1"), "2026-11-22").expect("a table");
    assert_eq!(retired.get(ModelTier::Gpt4).map(|t| t.model.model.as_str()), Some("gpt-5-mini"));
    assert_eq!(retired.get(ModelTier::Gpt4).map(|t| t.model.price.output), Some(2_000));
    let named = "[\"gpt-5.1\"]\nlast_day = \"2026-01-01\"\nreplacement = \"gpt-5.6-sol\"";
    let named = table(named, Some("sk-1"), "2026-11-22").expect("a table");
    assert_eq!(named.get(ModelTier::Gpt51).map(|t| t.model.price.input), Some(4_000));
}

#[test]
fn a_model_without_a_price_stops_the_start_and_names_the_lines() {
    for toml in [
        "[gpt-4]\nmodel = \"mystery\"",
        "[gpt-4]\nbase_url = \"https://example.test/v1\"",
        "[gpt-4]\nmodel = \"gpt-5-mini\"\nbase_url = \"https://example.test/v1\"",
        "[gpt-4]\nprice_input = 1.0",
        "[gpt-4]\nlast_day = \"2026-01-01\"\nreplacement = \"mystery\"",
    ] {
        let error = table(toml, Some("sk-1"), "2026-11-22").expect_err(toml).to_string();
        for word in ["price_input = …", "price_output = …", "[tiers.gpt-4]"] {
            assert!(error.contains(word), "{toml}: {error}");
        }
    }
}

#[test]
fn mistakes_are_named() {
    for (toml, word) in [
        ("[gpt-4]\nprice_input = -1.0\nprice_output = 1.0", "price_input"),
        ("[gpt-4]\ninput_window = 3", "input_window"),
        ("[gpt-4]\napi_key_env = \"NOT_THERE\"", "NOT_THERE"),
        ("[local-builder]\nmodel = \"x\"", "LOCAL_BUILDER_BASE_URL"),
    ] {
        let error = table(toml, Some("sk-1"), "2026-11-22").expect_err(toml).to_string();
        assert!(error.contains(word), "{toml}: {error}");
    }
    for bad in ["[gpt-4]\nfoo = 1", "[gpt-4]\nbase_url = \"ftp://x\""] {
        assert!(toml::from_str::<BTreeMap<ModelTier, TierOverride>>(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_default_key_goes_to_the_default_host_alone() {
    let toml = "[gpt-4]\nmodel = \"m\"\nbase_url = \"http://127.0.0.1:1/v1\"\nprice_input = 0\nprice_output = 0\n\
                [gpt-4-turbo]\nmodel = \"n\"\nbase_url = \"http://127.0.0.1:2/v1\"\napi_key_env = \"MY_KEY\"\nprice_input = 1\nprice_output = 2";
    let table = table(toml, Some("sk-1"), "2026-11-22").expect("a table");
    let tier = |name| table.get(name).expect("a tier");
    assert!(tier(ModelTier::Gpt4).endpoint.api_key.is_none());
    assert!(!tier(ModelTier::Gpt4).paid);
    assert!(tier(ModelTier::Gpt4Turbo).endpoint.api_key.is_some());
    assert!(tier(ModelTier::Gpt51).endpoint.api_key.is_some());
}

#[test]
fn without_a_key_openai_is_left_out_and_a_local_server_is_free() {
    let local = LocalServer {
        base_url: Url::parse("http://127.0.0.1:8080/v1").expect("an address"),
        model: "smollm2".to_owned(),
    };
    let none = BTreeMap::new();
    let table =
        tier_table(&none, &defaults(None), Some(&local), day("2026-11-22"), |_| None).expect("ok");
    assert_eq!(table.live(day("2026-11-22")), [ModelTier::LocalBuilder]);
    assert!(table.left_out()[0].why.contains("OPENAI_API_KEY"));
    assert!(table.get(ModelTier::LocalBuilder).is_some_and(|tier| !tier.paid));
}
