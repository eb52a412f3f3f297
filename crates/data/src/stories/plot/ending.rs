//! How stories end.

use super::{Ending, Helper};

/// The endings that thank a helper come last, see [`after`].
pub(super) const ENDINGS: &[Ending] = &[
    Ending {
        name: "moral",
        text: r#"{Hero} [was|felt] [so|very|truly] {glad}. [From that day on|After that|From then on], {he} {moral}."#,
    },
    Ending {
        name: "dream",
        text: r#"That night, {hero} [lay in bed|curled up in bed|went to bed early] [and smiled|with a smile|and felt
            {glad}]. {He} [dreamed of|fell asleep and dreamed of] {dream}."#,
    },
    Ending {
        name: "feast",
        text: r#"[In the evening|When the sun went down|To celebrate], {hero} ate {food} [and {food2} |][under the
            stars|by the fire|on the porch|at the big table] and [felt|was] very {glad}. It was the best [supper|meal|treat]
            [ever|of the year|in a long time]."#,
    },
    Ending {
        name: "song",
        text: r#"{Hero} was so {glad} that {he} [danced|hopped|sang|skipped|hummed] all the way home. Even [the {beast}|the
            moon|the old {tree} tree|the wind] seemed to [smile|dance along|clap]."#,
    },
    Ending {
        name: "next day",
        text: r#"The next [day|morning], {hero} told [everyone|all {his} friends|the whole school|{his} cousins] [what had
            happened|the whole story]. Then {he} went out to {hobby}, as [{glad} as could be|happy as a [king|lark|bee|clam|fish]]."#,
    },
    Ending {
        name: "the end",
        text: r#"[And that is|That was|So ends] the story of {hero}, the {trait} {kind}, who {moral} [ever after|from that day on]. [The
            end.|Good night!|Sleep well!]"#,
    },
    Ending {
        name: "thanks",
        text: r#""Thank you, {address}!" [said|cried|beamed] {hero}. "[You are welcome|Any time|It was nothing|I was happy to help]," said {helper}
            with a [smile|wink|nod|laugh|little bow]. {Hero} [felt|was] {glad}, and {he} {moral} from then on."#,
    },
    Ending {
        name: "together",
        text: r#"{Hero} [hugged|thanked] {helper} and gave {helper.him} [some {food}|a bunch of {flower}|a drawing|a big
            kiss|{a color} ribbon|a pretty shell]. Then the two of them [walked|strolled|danced] home together, [laughing|singing|talking|humming] all the way. They were both very
            {glad}."#,
    },
];

/// Endings that speak of a helper.
const THANKING: usize = 2;

/// The endings of a story with this helper.
pub(super) fn after(helper: &Helper) -> &'static [Ending] {
    let (any, _thanking) = ENDINGS.split_at(ENDINGS.len() - THANKING);
    if helper.role.is_some() { ENDINGS } else { any }
}
