//! A present for someone's birthday.

use super::{Goal, Obstacle};

pub(super) const GOAL: Goal = Goal {
    name: "gift",
    wants: r#"{then} {hero} [remembered|heard] that [it was|tomorrow was] {loved}'s birthday. {He} wanted to make
        {loved.him} {a nice} {color} {gift} with {flower} on it. So {he} {quickly} [got out|looked for|borrowed] some
        {material} and [set to work|sat down at the table|began]."#,
    moral: r#"[made every present|made all {his} gifts|made things] with [love|care|a happy heart|{his} own hands]"#,
    obstacles: &[RAN_OUT, BROKE, UGLY],
};

const RAN_OUT: Obstacle = Obstacle {
    name: "ran out",
    happens: r#"{He} worked for {number} hours. But when the {gift} was [almost|half|nearly] done, there was no more
        {material} [left|in the house]! {Hero} looked in the [drawer|cupboard|shed|attic], but {he} found only
        {a thing}. {He} was {very} {sad}, like {like}."#,
    plea: "I have no more {material} for {loved}'s {gift}",
    helped: &[
        r#"{Helper} [smiled|thought for a moment|laughed]. "I have [some|plenty of|a box full of] {material} at home,"
            {helper.he} said. "It is {nice} and {color2}." Together they {quickly} [finished|made] the {gift}, and
            {helper} [painted|drew|put] {a critter} on [the side|one corner|the back]."#,
        r#""[You can use|You could use|Use|Try] {a thing} instead," {said} {helper}{kindly}. They {quickly}
            [washed|cleaned|rubbed] it and [painted|polished] it, and the {gift} looked even [better|prettier|nicer]
            than before. {Loved} [laughed|clapped|smiled] when {loved.he} saw it."#,
    ],
    alone: &[
        r#"{He} went [outside|to {place}] and [gathered|picked] {number} {nice} [leaves|feathers|shells|pebbles|twigs|
            petals]. They were as [good|useful] as {material}! Soon the {gift} was done, and {loved} {quickly} [put it
            on the shelf|kissed {him} on the nose|showed it to everyone|said it was perfect]."#,
    ],
};

const BROKE: Obstacle = Obstacle {
    name: "broke",
    happens: r#"[Snip, snap|Tap, tap|Rub, rub|Swish, swish] went {his} [busy|quick|little] hands, and the {gift} was
        ready. But on the [way to the door|stairs|way to the table], {he} [tripped over|slipped on|bumped into]
        {a thing}, and the {gift} broke in {number} pieces. {Hero} felt {very} {sad}, like {like}."#,
    plea: "I [broke|dropped] {loved}'s {gift}",
    helped: &[
        r#"{Helper} {quickly} [picked up|gathered] the pieces. "[Nothing is lost|This can be mended|Look, they still
            fit]," {helper.he} said. With [a little|a lot of] {material} they put it together again. One
            [crack|line|gap] was left, so {hero} painted it {color2}. Now it looked like a [river|smile|flash of
            lightning|vine|rainbow]!"#,
        r#""[Do you know what {loved} loves|What does {loved} like best]?" asked {helper}{kindly}. "{Loved} loves
            {food}!" {cried} {hero}. So they {quickly} filled {a nice} [basket|bowl|bag] with {food}, and
            [stuck|laid|hid] the prettiest piece of the {gift} on top. {Loved} [laughed|clapped|smiled] and ate
            [everything|all of it]."#,
    ],
    alone: &[
        r#"{He} took the pieces and {quickly} [hung|tied] them on a [string|branch|hoop], [one by one|side by side].
            It [turned|swung|danced] in the wind and [sang|rang|sparkled]! {Loved} {quickly} hung it [by the
            window|over the door|above {loved.his} bed]."#,
    ],
};

const UGLY: Obstacle = Obstacle {
    name: "ugly",
    happens: r#"But one side was [too long|too short|bumpy|flat|crooked|thin], and the {flower} looked like
        [{meal}|{trinkets}]. {Hero} {quickly} [threw|pushed|put] it [away|in a corner|under the bed]. {He} felt {very}
        {sad}, like {like}."#,
    plea: "I made {a gift} for {loved}, but it is [ugly|not pretty]",
    helped: &[
        r#"{Helper} {quickly} [looked at it|turned it around|held it up]. "[I see|I can see] {a critter} in it,"
            {said} {helper}{kindly}. "Look, here is the head, and here are the [legs|feet]." [So it was|{Hero} saw it
            too]! {He} gave it [two eyes|a big smile|{a color2} tail|a tiny hat], and it was the
            [funniest|best|finest] {gift} of all."#,
        r#"{Helper} [told|reminded] {him} of {helper.his} own first {gift}. "It looked like {a thing}," {said}
            {helper}{kindly}, "and [I still have it|my mother kept it all her life|everyone loved it]." {Hero}
            [laughed|giggled]. {He} [took|gave] the {gift} to {loved}, and {loved.he} [hugged|thanked|kissed] {him}
            {number} times."#,
    ],
    alone: &[r#"{He} {quickly} [tried|started] again. The second {gift} was [a little|not much] better. The third was
        [good|fine|nice]. The next one was [as round as the moon|as bright as the sun|as neat as a pin]! {Loved} got
        that one, and the others went to {a critter}, {a critter} and {his} {elder.my}."#],
};
