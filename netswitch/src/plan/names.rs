//! Directory before and after -> what changes in the tables that the switch answers names from.

use std::collections::{BTreeSet, HashSet};

use super::entries::differences;
use crate::action::{Action, Entry};
use crate::model::Id;
use crate::model::directory::{Directory, Question, Touched};

/// What makes the tables say what `after` says, where they say what `before` says.
pub fn changed(before: &Directory, after: &Directory, touched: &Touched) -> Vec<Action> {
    let mut questions = before.questions(touched);
    questions.extend(after.questions(touched));
    let unclear = after.unclear_since(before, touched);
    let sandboxes: BTreeSet<&Id> = touched.sandboxes.iter().chain(unclear).collect();
    differences(
        &entries(before, &questions, &sandboxes),
        entries(after, &questions, &sandboxes),
    )
}

/// What makes the tables that hold `found` say what the directory says; with none, nothing is left in them.
pub fn repaired(found: &[Entry], directory: Option<&Directory>) -> Vec<Action> {
    let wanted = directory.map_or_else(Vec::new, |directory| {
        let all = directory.all();
        entries(directory, &directory.questions(&all), &all.sandboxes.iter().collect())
    });
    differences(found, wanted)
}

fn entries(directory: &Directory, questions: &HashSet<Question>, sandboxes: &BTreeSet<&Id>) -> Vec<Entry> {
    let names = questions.iter().filter_map(|question| directory.entry(question));
    let names = names.map(|(key, value)| Entry::Name {
        key,
        value: Box::new(value),
    });
    let views = sandboxes.iter().filter_map(|sandbox| directory.answered(sandbox));
    let views = views.map(|(sandbox, value)| Entry::View { sandbox, value });
    names.chain(views).collect()
}
