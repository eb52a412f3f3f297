//! How stories end.

use super::{Ending, Helper};

/// The endings that thank a helper come last, see [`after`].
pub(super) const ENDINGS: &[Ending] = &[
    Ending {
        name: "moral",
        text: r#"{Hero} felt {very} {glad}. [From that day on|After that|From then on|From that moment on|In later
            years], {he} {moral}."#,
    },
    Ending {
        name: "dream",
        text: r#"That night, {hero} [lay in bed|curled up in bed|went to bed early|snuggled in bed|looked at the
            moon|brushed {his} hair] and [smiled|felt {very} {glad}|hummed a song|yawned]. {He} [dreamed of|fell
            asleep and dreamed of] {dream}."#,
    },
    Ending {
        name: "feast",
        text: r#"[In the evening|When the sun went down|To celebrate|For supper|That night|At the end of the day|Soon
            after], {hero} ate {meal} and {food} [under the stars|by the fire|on the porch|at the big table|on the
            grass|in the kitchen|by the window|on the roof] and felt {very} {glad}. It was the
            [best|nicest|happiest|funniest] [supper|meal|treat|feast] [ever|of the year|in a long time|of all]."#,
    },
    Ending {
        name: "song",
        text: r#"{Hero} was so {glad} that {he} [danced|hopped|sang|skipped|hummed|whistled|marched|laughed|jumped|
            ran] all the way home. Even [{a critter}|the moon|{a tree} tree|the wind|{a thief}] seemed to [smile|dance
            along|clap|sing|laugh|nod|wave]."#,
    },
    Ending {
        name: "next day",
        text: r#"The next [day|morning], {hero} told [everyone|all {his} friends|the whole school|{his}
            cousins|{neighbor}|{his} {loved.my}] [what had happened|the whole story|all about it]. Then {he} {quickly}
            went out to {hobby}, as [{glad} as could be|happy as a [king|lark|bee|clam|fish|queen|bird|puppy]]."#,
    },
    Ending {
        name: "the end",
        text: r#"[And that is|That was|So ends|This was] the story of {hero}, the {trait} {kind}, who [ever after|from
            that day on|from then on] {moral}. [The end.|Good night!|Sleep well!|And now to bed!]"#,
    },
    Ending {
        name: "thanks",
        text: r#""Thank you, {address}!" {cried} {hero}. "[You are welcome|Any time|It was nothing|I was happy to
            help|My pleasure|It was fun|We did it together|You did well]," {said} {helper}{kindly}. {Hero} felt {very}
            {glad}, and from then on {he} {moral}."#,
    },
    Ending {
        name: "together",
        text: r#"{Hero} [hugged|thanked] {helper} and gave {helper.him} [some {food}|a bunch of {bloom}|a drawing of
            {a critter}|a big kiss|{a color} ribbon|{a nice} box of {trinkets}|{a thing}]. Together they
            [walked|strolled|danced|skipped|hopped|marched] home, [laughing|singing|talking|humming|whistling|telling
            jokes|eating {meal}|counting {trinkets}] all the way. They both felt {very} {glad}."#,
    },
];

/// Endings that speak of a helper.
const THANKING: usize = 2;

/// The endings of a story with this helper.
pub(super) fn after(helper: &Helper) -> &'static [Ending] {
    let (any, _thanking) = ENDINGS.split_at(ENDINGS.len() - THANKING);
    if helper.who.is_some() { ENDINGS } else { any }
}
