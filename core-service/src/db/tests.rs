//! Opening ledgers of every kind, and telling a busy database from a broken one.

use super::*;

async fn run(file: &Path, statement: &'static str) -> Result<(), DbError> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .busy_timeout(std::time::Duration::ZERO);
    let mut conn = options.connect().await?;
    let outcome = sqlx::query(statement).execute(&mut conn).await;
    conn.close().await?;
    outcome?;
    Ok(())
}

#[tokio::test]
async fn only_another_version_is_called_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.sqlite");
    Db::open(&Location::file(&file)).await.unwrap().close().await;
    Db::open(&Location::file(&file)).await.unwrap().close().await;
    run(&file, "UPDATE _sqlx_migrations SET checksum = x'00'").await.unwrap();
    assert!(matches!(Db::open(&Location::file(&file)).await, Err(OpenError::OtherVersion { .. })));

    let foreign = folder.path().join("foreign.sqlite");
    run(&foreign, "CREATE TABLE stores (name TEXT)").await.unwrap();
    assert!(matches!(Db::open(&Location::file(&foreign)).await, Err(OpenError::Unusable { .. })));

    let text = folder.path().join("text");
    std::fs::write(&text, "not a database at all ".repeat(100)).unwrap();
    let error = Db::open(&Location::file(&text)).await.unwrap_err();
    assert!(matches!(error, OpenError::Unusable { .. }));
    let said = format!("{:#}", anyhow::Error::from(error));
    assert_eq!(said.matches("not a database").count(), 1, "{said}");
}

#[tokio::test]
async fn a_busy_database_is_not_a_broken_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.sqlite");
    let db = Db::open(&Location::file(&file)).await.unwrap();
    let tx = db.write().await.unwrap();
    assert!(run(&file, "BEGIN IMMEDIATE").await.unwrap_err().is_transient());
    drop(tx);
    assert!(!run(&file, "BEGIN IMMEDIATELY").await.unwrap_err().is_transient());
    db.close().await;
    assert!(db.read().await.unwrap_err().is_transient());
}
