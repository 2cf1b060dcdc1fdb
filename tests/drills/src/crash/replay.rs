//! After the load, when all is at rest: every key is sent again.

use super::buyer::Load;
use super::checks;
use super::journal::Entry;
use crate::violations::Violations;
use futures::StreamExt as _;
use tiffin_fixtures::random::Random;

/// Sends every key again that has a record, many at once: each must give its first answer.
pub async fn recorded(
    load: &Load,
    entries: &[&Entry],
    clients: usize,
    random: &Random,
) -> Violations {
    each(load, entries, clients, random, checks::check_replay).await
}

/// Sends every key again that was refused at the door and left no record: it is decided anew, as a first
/// request would be.
pub async fn refused(
    load: &Load,
    entries: &[&Entry],
    clients: usize,
    random: &Random,
) -> Violations {
    each(load, entries, clients, random, |entry, again| {
        let mut found = Violations::default();
        let anew = Entry::new(entry.call.clone(), entry.act.clone(), again);
        let plausible = checks::check_plausible(&anew).is_empty();
        let told = || format!("{} now answers {}", checks::shown(entry), again.shown());
        found.unless(plausible, checks::AGAIN, told);
        found
    })
    .await
}

async fn each(
    load: &Load,
    entries: &[&Entry],
    clients: usize,
    random: &Random,
    check: impl Fn(&Entry, &crate::http::Answer) -> Violations,
) -> Violations {
    let again = futures::stream::iter(entries.iter().zip(0..)).map(async |(entry, n)| {
        let mut random = random.branch(n);
        match load.world.http.settle(&entry.call, &mut random).await {
            Some(settled) => check(entry, &settled.answer),
            None => {
                let mut found = Violations::default();
                found.note(checks::ANSWERED, format!("{}, sent again", checks::shown(entry)));
                found
            }
        }
    });
    let merge = async |mut all: Violations, found| {
        all.merge(found);
        all
    };
    again.buffer_unordered(clients).fold(Violations::default(), merge).await
}
