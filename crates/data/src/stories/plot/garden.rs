//! A seed in the ground.

use super::{Goal, Obstacle};

pub(super) const GOAL: Goal = Goal {
    name: "garden",
    wants: r#"{then} {hero} [got|found|bought] {a plant} seed {place.at}. It was as small as [a crumb|a tear|a
        freckle|the eye of {a critter}]. {He} {quickly} dug {a nice} hole [behind the {landmark}|by {a tree}
        tree|among {flower}] and put in the seed. "[Grow|Wake up|Good luck|Sleep well|Be brave], little seed," {he}
        said{kindly}, and [gave it some water|sang it a song|put {a nice} {color} stone beside it]."#,
    moral: r#"[waited|worked|dug and waited] with [patience|a smile|hope] and planted {plant.s} every [spring|year]"#,
    obstacles: &[WAIT, DRY, EATEN],
};

const WAIT: Obstacle = Obstacle {
    name: "waiting",
    happens: r#"{Hero} {quickly} looked at it {number} times a day. Nothing! {He} {quickly} [shouted at it|read to
        it|danced around it|showed it a picture of {a plant}]. Still nothing! {A beast2} sat on the [stone|spot] and
        [yawned|slept]. {Hero} felt {very} {sad}, like {like}."#,
    plea: "My {plant} does not [grow|come up]",
    helped: &[
        r#""[It is working where you can not see it|A seed has much to do down there]," {said} {helper}{kindly}.
            "[Leave it alone|Let it sleep]. [Come, we will|Let us] {hobby}." So they {quickly} did that. After
            {number} [days|weeks], {hero} saw something green behind {a thing}. It was the {plant}!"#,
        r#"{Helper} {quickly} put an ear on the ground. "[I hear it|Listen|Hush|Yes]," {said} {helper}{kindly}. "It
            says: [not yet|soon|{number} more minutes|I am putting on my {cloth}|I want {food}]." {Hero}
            [laughed|giggled]. Every day they listened, and every day it said [a little more|something else]. After
            {number} weeks it [bloomed|grew as high as the roof|was as big as {a thief}]!"#,
    ],
    alone: &[r#"{He} {quickly} [made|drew] {a nice} calendar with {number} weeks. Each day {he} drew one thing on it:
        {a beast2}, {a thing}, a bowl of {food}. When the [calendar|page] was full, {he} [ran|went] out, and there
        stood {a plant}, [nodding|shining] in the sun."#],
};

const DRY: Obstacle = Obstacle {
    name: "drought",
    happens: r#"[Soon|After a week], a [tiny|small] green leaf came up. But then there was no rain for {number} weeks.
        The leaf turned [yellow|brown|gray] and [hung down|curled up]. {Hero} was {very} {sad}, like {like}."#,
    plea: "There is no water for my {plant}",
    helped: &[
        r#"{Helper} {quickly} [thought of|remembered] {a nice} [spring|lake|cave] behind {place}. They went there with
            {a thing} and {a thing}. They went {number} times, [in the heat|in the dust|before sunrise], and they
            spilled half of it on {a beast2}. But the {plant} [drank|got] the rest, and [lifted|raised] its head."#,
        r#""[After the bath|After the dishes], where does your water go?" asked {helper}{kindly}. {Hero} [looked
            up|slapped {his} head]. From then on the {plant} got the bath water, [the tea|the soup water] and the
            water from the [flower vase|fish bowl|goose pond]. It grew [fat|tall|strong], and it smelled a little of
            [soap|fish|mint|{food}]."#,
    ],
    alone: &[
        r#"Before the sun was up, {he} {quickly} [wiped|shook] the dew off the leaves with {a cloth}, drop by drop,
            [until a cup was full|until {his} fingers were cold]. {He} did this for {number} days. Then the [sky
            turned black|wind turned], and it rained on the {plant} and on {hero}, who [danced|stood] in it."#,
    ],
};

const EATEN: Obstacle = Obstacle {
    name: "eaten",
    happens: r#"[Soon|After a week], {number} green leaves came up. But [one night|the next day|in {number} days]
        {a thief} ate [most|half] of them, and {a beast2} [chewed|ate] the rest. {Hero} felt {very} {sad}, like
        {like}."#,
    plea: "Somebody is eating my {plant}",
    helped: &[
        r#"They {quickly} made {a nice} [man of straw|scarecrow]. {Helper} gave it {a color2} {cloth}, and {hero} gave
            it {a thing} for a nose. It looked so [fierce|grand|odd] that the {thief} [bowed to it|ran away|said good
            morning to it] and never [came back|ate a leaf again]. The {plant} grew in its shadow, [big|fat] and
            [round|green]."#,
        r#""They are hungry," {said} {helper}{kindly}. "[Plant some|Give them a bed of] {flower} for them over there."
            {Hero} {quickly} did so. Now the {thief} had a [garden|table] of its own, and the {beast2} too, and they
            [guarded|watched] the {plant} as if it were [gold|their child]. It grew until it took {number} friends to
            [carry|lift] it."#,
    ],
    alone: &[
        r#"{He} {quickly} took {a nice} [blanket|pillow] and slept beside it, with {a pole} in {his} [hand|arms]. Each
            time the {thief} came, {hero} [sneezed|sang|snored loudly], and it went away. {He} did this for {number}
            nights. The leaves grew [back|again], and under them [hung|lay] the most [beautiful|enormous|wonderful]
            {plant} in the whole [village|land]."#,
    ],
};
