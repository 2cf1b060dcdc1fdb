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

/// Orders in every kind of state, as the first version of the ledger kept them: by id, state, units and
/// whether they were paid by a captured payment, and whether that was refunded.
const ORDERS: [(i64, &str, i64, bool, bool); 5] = [
    (1 << 22, "PENDING_PAYMENT", 1, false, false),
    (2 << 22, "PAID", 3, true, false),
    (3 << 22, "COMPLETED", 1, true, false),
    (4 << 22, "CLOSED", 2, false, false),
    (5 << 22, "CANCELLED", 4, true, true),
];

#[expect(clippy::cast_possible_truncation, reason = "small numbers")]
async fn populate_first_version(tx: &mut AnyConnection) {
    let run = async |tx: &mut AnyConnection, statement: &'static str| {
        sqlx::query(statement).execute(tx).await.unwrap();
    };
    run(tx, "INSERT INTO stores VALUES (1, 'store', '{}', 1)").await;
    run(tx, "INSERT INTO items VALUES (2, 1, 'item', 'mains', 1, '{}')").await;
    run(tx, "INSERT INTO stock (item_id, on_hand, available, reserved, version) VALUES (2, 12, 11, 1, 9)").await;
    for (id, state, units, paid, refunded) in ORDERS {
        let total = 300 * units;
        let snapshot = serde_json::json!({
            "fulfilment": {"kind": "pickup"},
            "pricing": {
                "currency": "EUR", "subtotal_minor": total, "delivery_fee_minor": 0,
                "delivery_fee_tax_minor": 0, "tax_minor": 0, "tax_inclusive": true,
                "total_minor": total,
                "lines": [{
                    "item_id": "2", "name": "Tea", "quantity": units as u32, "options": [],
                    "base_minor": 300, "options_minor": 0, "line_minor": total, "tax_minor": 0,
                }],
            },
        });
        sqlx::query("INSERT INTO orders VALUES (?, 1, 7, ?, 2, 'EUR', ?, ?, 1000, 1000, 2000)")
            .bind(id)
            .bind(state)
            .bind(total)
            .bind(snapshot.to_string())
            .execute(&mut *tx)
            .await
            .unwrap();
        sqlx::query("INSERT INTO order_lines VALUES (?, 1, 2, ?)")
            .bind(id)
            .bind(units)
            .execute(&mut *tx)
            .await
            .unwrap();
        let news = serde_json::json!({ "state": state, "store_id": "1", "version": 2 });
        sqlx::query("INSERT INTO outbox VALUES (?, 'order.changed', ?, ?, 1000)")
            .bind(id + 1)
            .bind(id)
            .bind(news.to_string())
            .execute(&mut *tx)
            .await
            .unwrap();
        if paid {
            sqlx::query(
                "INSERT INTO payments VALUES (?, ?, '', 3000, ?, 'CAPTURED', 3, ?, 'EUR', \
                 'sandbox_capture', NULL, 1000, 1000)",
            )
            .bind(id + 2)
            .bind(id.to_string())
            .bind(id)
            .bind(total)
            .execute(&mut *tx)
            .await
            .unwrap();
        }
        if refunded {
            sqlx::query("INSERT INTO refunds VALUES (?, ?, 'SUCCEEDED', ?, 1000, 1000, 1000)")
                .bind(id + 3)
                .bind(id + 2)
                .bind(total)
                .execute(&mut *tx)
                .await
                .unwrap();
        }
    }
}

/// Records of the first version, the later one first, and two of one instant.
const RECORDS: [(&str, i64); 3] = [("late", 1_795_608_000_000), ("one", 1_000), ("other", 1_000)];

async fn populate_records(tx: &mut AnyConnection) {
    for (scope, created_at_ms) in RECORDS {
        sqlx::query("INSERT INTO idempotency VALUES (?, 'hash', 201, ?, ?)")
            .bind(scope)
            .bind(b"{}".to_vec())
            .bind(created_at_ms)
            .execute(&mut *tx)
            .await
            .unwrap();
    }
}

/// They are found as before, and are as old as they were.
async fn check_records(db: &Db) {
    let mut answers = crate::engine::table::Table::default();
    let scopes = RECORDS.map(|(scope, _)| scope.to_owned()).into();
    let mut conn = db.read().await.unwrap();
    crate::idempotency::store::load(&mut conn, &scopes, &mut answers).await.unwrap();
    drop(conn);
    for (scope, _) in RECORDS {
        let recorded = answers.get(&scope.to_owned()).unwrap();
        assert_eq!(
            (recorded.body_hash.as_str(), recorded.answer.body.as_slice()),
            ("hash", &b"{}"[..])
        );
    }
    assert!(!crate::idempotency::store::forget(db, 1_001).await.unwrap());
    let mut conn = db.read().await.unwrap();
    let left: Vec<(i64, String)> =
        sqlx::query_as("SELECT id, scope FROM idempotency").fetch_all(&mut *conn).await.unwrap();
    let left: Vec<_> =
        left.iter().map(|(id, scope)| (scope.as_str(), crate::ids::instant_ms(*id))).collect();
    assert_eq!(left, RECORDS[..1]);
}

#[tokio::test]
async fn a_ledger_of_the_first_version_comes_along_with_everything_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let location = testing::fresh(folder.path());
    sqlx::any::install_default_drivers();
    if location.dialect == Dialect::MySql {
        create_database(&location.url).await.unwrap();
    }
    let first = connect(location.dialect, &location.url, true, 1).await.unwrap();
    migrate(location.dialect, &first, MIGRATIONS.iter().take(1)).await.unwrap();
    populate_first_version(&mut first.acquire().await.unwrap()).await;
    populate_records(&mut first.acquire().await.unwrap()).await;
    first.close().await;

    let db = Db::open(&location).await.unwrap();
    let mut conn = db.read().await.unwrap();
    let sold: i64 =
        sqlx::query_scalar("SELECT sold FROM stock").fetch_one(&mut *conn).await.unwrap();
    let held: (i64, i64) = sqlx::query_as("SELECT user_id, units FROM held_units")
        .fetch_one(&mut *conn)
        .await
        .unwrap();
    assert_eq!((sold, held), (3 + 1 + 4, (7, 1)));
    // Whoever leases the node that minted these ids mints above them.
    let minted: i64 = sqlx::query_scalar("SELECT minted_until_ms FROM nodes WHERE node = 0")
        .fetch_one(&mut *conn)
        .await
        .unwrap();
    assert_eq!(minted, crate::ids::EPOCH_MS + 5 + 1);
    // Each row of its outbox is a pack now.
    let packs: Vec<(i64, i64, String, i64)> =
        sqlx::query_as("SELECT id, events, payload, created_at_ms FROM outbox ORDER BY id")
            .fetch_all(&mut *conn)
            .await
            .unwrap();
    let expected = ORDERS.map(|(id, state, ..)| {
        let news = format!(
            "[{{\"topic\":\"order.changed\",\"subject_id\":\"{id}\",\"payload\":\
             {{\"state\":\"{state}\",\"store_id\":\"1\",\"version\":2}}}}]"
        );
        (id + 1, 1, news, 1_000)
    });
    assert_eq!(packs, expected);
    drop(conn);
    let report = crate::audit::run(&db, None, 5_000).await.unwrap();
    assert!(report.clean, "{report:#?}");
    check_records(&db).await;
    let (moved, head) = crate::feed::store::number_waiting(&db).await.unwrap();
    assert_eq!((moved, head), (5, 5));
    let page = crate::feed::store::page(&mut db.read().await.unwrap(), 0).await.unwrap();
    let subjects: Vec<_> =
        page.packs.iter().map(|pack| pack.above(0).unwrap()[0].1.subject_id).collect();
    assert_eq!(subjects, ORDERS.map(|(id, ..)| id.to_string()));
}
