//! A seed in the ground.

use super::{Goal, Obstacle};

pub(super) const GOAL: Goal = Goal {
    name: "garden",
    wants: r#"{then} {hero} [got|found|bought] {a plant} seed {place.at}. It was as small as [a crumb|a tear|a freckle|the eye of {a beast}]. {He} [dug|made] a hole behind the [house|shed|fence|kitchen], put in the seed, and covered it with [earth|soil]. "[Grow|Wake up|Good luck], little seed," {he} said, and [gave it some water|sang it a song|put {a color} stone beside it]."#,
    moral: r#"[waited|worked|dug and waited] with [patience|a smile|hope] and planted {plant.s} every [spring|year]"#,
    obstacles: &[WAIT, DRY, EATEN],
};

const WAIT: Obstacle = Obstacle {
    name: "waiting",
    happens: r#"{Hero} looked at it in the [morning|evening]. Nothing! {He} looked {number} times a day. {He} [shouted at it|read to it|danced around it|showed it a picture of {a plant}]. Still nothing! {A beast2} sat on the [stone|spot] and [yawned|slept]. {Hero} felt [so|very] {sad}."#,
    plea: "My {plant} does not [grow|come up]",
    helped: &[
        r#""[It is working where you can not see it|A seed has much to do down there]," said {helper}. "[Leave it alone|Let it sleep]. [Come, we will|Let us] {hobby}." So they did that, on the first day and on the second day. On the day of the [big rain|new moon|fair], {hero} saw something green. It was the {plant}, as [tall|high] as {a junk}!"#,
        r#"{Helper} [knelt|lay] down and put an ear on the ground. "[I hear it|Listen]," said {helper}. "It says: [not yet|soon|five more minutes|I am putting on my shoes]." {Hero} [laughed|giggled]. Every day they listened, and every day it said [a little more|something else]. After {number} weeks it did not [speak|whisper] any more. It [bloomed|grew as high as the roof]!"#,
    ],
    alone: &[
        r#"{He} [made|drew] a calendar with {number} weeks. Each day {he} drew one thing on it: {a beast2}, {a junk}, a bowl of {food}. When the [calendar|page] was full, {he} [ran|went] out, and there stood {a plant}, [nodding|shining] in the sun."#,
    ],
};

const DRY: Obstacle = Obstacle {
    name: "drought",
    happens: r#"[Soon|After a week], a [tiny|small] green leaf came up. But then the sun [burned|shone] for {number} weeks, and there was no rain. The [well|rain barrel|stream] was [empty|dry]. The leaf turned [yellow|brown|gray] and [hung down|curled up]. {Hero} was [so|very] {sad}."#,
    plea: "There is no water for my {plant}",
    helped: &[
        r#"{Helper} [thought of|remembered] a [spring|lake|cave] behind {place}. They went there with {a junk} and {a junk2}, because they had no [bucket|can]. They went {number} times, [in the heat|in the dust|before sunrise], and they spilled half of it on {a beast2}. But the {plant} [drank|got] the rest, and [lifted|raised] its head."#,
        r#""[After the bath|After the dishes], where does your water go?" asked {helper}. {Hero} [looked up|slapped {his} head]. From then on the {plant} got the bath water, [the tea|the soup water] and the water from the [flower vase|fish bowl|goose pond]. It grew [fat|tall|strong], and it smelled a little of [soap|fish|mint|{food}]."#,
    ],
    alone: &[
        r#"{He} got up before the sun, when there was dew on the grass. {He} [wiped|shook] it off the leaves with {a cloth}, drop by drop, [until a cup was full|until {his} fingers were cold]. {He} did this for {number} days. Then the [sky turned black|wind turned], and it rained on the {plant} and on {hero}, who [danced|stood] in it."#,
    ],
};

const EATEN: Obstacle = Obstacle {
    name: "eaten",
    happens: r#"[Soon|After a week], {number} green leaves came up. But the next morning there [was only one left|were holes in all of them]! {A thief} had [been there|eaten them], and {a beast2} was [eating|chewing] what was left. {Hero} felt [so|very] {sad}."#,
    plea: "Somebody is eating my {plant}",
    helped: &[
        r#"They made a [man of straw|scarecrow]. {Helper} gave it {a color2} {cloth}, and {hero} gave it {a junk} for a nose. It looked so [fierce|grand|odd] that the {thief} [bowed to it|ran away|said good morning to it] and never [came back|ate a leaf again]. The {plant} grew in its shadow, [big|fat] and [round|green]."#,
        r#""They are hungry," said {helper}. "[Plant some|Give them a bed of] {flower} for them over there." {Hero} did so. Now the {thief} had a [garden|table] of its own, and the {beast2} too, and they [guarded|watched] the {plant} as if it were [gold|their child]. It grew until it took {number} people to [carry|lift] it."#,
    ],
    alone: &[
        r#"{He} took {his} [blanket|pillow] and slept beside it, with {a pole} in {his} [hand|arms]. Each time the {thief} came, {hero} [sneezed|sang|snored loudly], and it went away. {He} did this for {number} nights. The leaves grew [back|again], and under them [hung|lay] the most [beautiful|enormous|wonderful] {plant} in the whole [village|land]."#,
    ],
};
