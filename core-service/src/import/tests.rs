//! The import client against a running core.

use super::*;
use crate::app::testing::{TestApp, app};
use crate::catalog::testing::{file, rows};
use crate::router::router;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// A core that really listens; it stops when this goes away.
struct Listening {
    app: TestApp,
    url: Url,
    serving: AbortHandle,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn listen() -> Listening {
    let app = app().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let router = router(Arc::clone(&app), false);
    let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    Listening { app, url, serving: serving.abort_handle() }
}

fn token(app: &TestApp) -> String {
    app.keys.sign_token(&Principal::new(OPERATOR, &[Role::Admin]), app.clock.now_ms(), 900)
}

#[tokio::test]
async fn a_file_is_loaded_and_counted() {
    let core = listen().await;
    let body = file(&rows("noodles")).into_bytes();
    let outcome = send(&core.url, &token(&core.app), body).await.unwrap();
    let Outcome::Loaded(report) = outcome else { panic!("{outcome:?}") };
    assert_eq!(
        report::loaded(Path::new("city.jsonl"), &report),
        "loaded city.jsonl\n\
         \x20             created  updated  unchanged\n\
         stores              1        0          0\n\
         categories          1        0          0\n\
         items               2        0          0\n\
         deals               1        0          0\n"
    );
}

#[tokio::test]
async fn a_bad_file_is_named_line_by_line() {
    let core = listen().await;
    let body = file(&rows("noodles")).replace("\"food\":70000", "\"food\":2000000") + "{}\n";
    let outcome = send(&core.url, &token(&core.app), body.into_bytes()).await.unwrap();
    let Outcome::Refused(problem) = outcome else { panic!("{outcome:?}") };
    assert_eq!(
        report::refused(Path::new("city.jsonl"), &problem),
        "city.jsonl:1: /tax/classes/food: must be 0 to 1000000 parts per million\n\
         city.jsonl:6: missing field `kind`\n\
         The import has bad rows; nothing was loaded: 2 faults; correct them and send the file again\n"
    );
}

#[tokio::test]
async fn a_token_that_does_not_verify_is_refused_with_the_cores_own_words() {
    let core = listen().await;
    let outcome = send(&core.url, "nonsense", b"{}".to_vec()).await.unwrap();
    let Outcome::Refused(problem) = outcome else { panic!("{outcome:?}") };
    assert_eq!(problem.status, 401);
}

#[tokio::test]
async fn a_core_that_is_not_there_is_said_plainly() {
    let vacant = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let url: Url = format!("http://{vacant}").parse().unwrap();
    let error = send(&url, "token", Vec::new()).await.unwrap_err();
    let expected = format!("cannot reach a core at http://{vacant}/; is it running there?");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_file_is_read_within_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("city.jsonl");
    let error = read_file(&missing).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot read {}", missing.display()));
    let large = folder.path().join("large.jsonl");
    fs::File::create(&large).unwrap().set_len(limits::IMPORT_BODY_BYTES as u64 + 1).unwrap();
    assert!(read_file(&large).unwrap_err().to_string().contains("split it by store"));
}

#[test]
fn the_command_takes_either_a_token_or_the_data_folder() {
    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: ImportArgs,
    }
    let parse = |line: &str| <Cli as clap::Parser>::try_parse_from(line.split(' '));
    let parsed = parse("import city.jsonl --data tiffin-data").unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(parsed.args.core.as_str(), "http://127.0.0.1:3001/");
    assert!(parse("import city.jsonl --token abc").is_ok());
    assert!(parse("import city.jsonl").is_err());
    assert!(parse("import city.jsonl --token abc --data tiffin-data").is_err());
}
