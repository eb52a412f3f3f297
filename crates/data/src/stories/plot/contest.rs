//! Who will win?

use super::{Goal, Obstacle};

pub(super) const GOAL: Goal = Goal {
    name: "contest",
    wants: r#"{then} {hero} [heard about|saw a poster for] the big {contest} {place.at}. The first prize was {a nice}
        {color} {prize}! {He} {quickly} [trained|practiced] for {number} [days|weeks] and ate [only|a lot of] {food}.
        On the great day {rival} was there too, with {a nice} [cap|laugh|drum|horn|banner]. "[I always win|I am faster
        than {a critter}|You look like {a thing}]," said {rival}. "[Ready, set|On your marks|One, two, three], go!""#,
    moral: r#"[ran|raced|played] for fun, [and cheered for everyone|win or lose|with {rival} at {his} side]"#,
    obstacles: &[FELL, RIVAL, LOST],
};

const FELL: Obstacle = Obstacle {
    name: "fell",
    happens: r#"{Hero} was [in front|ahead|first]. Then {he} [slipped on|tripped over] {a thing} and fell [down|flat
        on {his} nose|in the mud|into a bush]. {Number} others went past {him}, and last of all came {a thief} [in
        slippers|with a cane|eating {food2}]. {Hero} felt {very} {sad}, like {like}."#,
    plea: "I fell, and now I am last",
    helped: &[
        r#""[Last is a place too|Someone must be last]," {said} {helper}{kindly}, and pulled {him} up. "Go on and
            [sing|hum|smile]!" So {hero} went on and sang about {flower}. It was {a nice} song, and [the
            crowd|{a thief}|{number} people] sang along. {Rival} won the {prize}, but {hero} won {number} [hugs|new
            friends]."#,
        r#"{Helper} [gave|threw] {him} {a pole}. "[Lean on this|Hold this]!" {helper.he} called. {Hero} {quickly}
            [leaned|pulled|pushed], and off {he} went. {He} passed the {thief}. {He} passed {a critter}. {He} passed
            [all of them|nearly everyone], and at the line {he} and {rival} were side by side. They got half of the
            {prize} each."#,
    ],
    alone: &[r#"{He} [shook off the dust|wiped {his} nose] and went on, [limping|slowly], one step at a time. {He}
        {quickly} waved at {a critter} on the way. When {he} came in, long after {rival}, the [whole crowd|band] was
        still there. They [clapped|cheered] for {number} minutes, and {a nice} [hen|boy|girl|duck|child] gave {him}
        some {flower}."#],
};

const RIVAL: Obstacle = Obstacle {
    name: "rival",
    happens: r#"{Hero} was second, right behind {rival}. Then {rival} [fell into|slid into] {a nice}
        [ditch|pond|hole], among {number} [frogs|thistles|old tires|nettles]. "[Help|Help me]!" {cried} {rival}.
        {Hero} [looked at the line|saw the {prize} shine]. The end was so near. Should {he} stop? {He} felt {very}
        {sad}, like {like}."#,
    plea: "{Rival} is in trouble, and I want to win",
    helped: &[
        r#""You know what to do," {said} {helper}{kindly}. "[Here, take|Use] {a pole}." {Hero} held it out, and
            {helper} held {hero}. [Pull|Heave]! Out came {rival}, with {a thing} on {rival.his} head. They {quickly}
            crossed the line [arm in arm|together], and the {prize} was [cut|divided|shared] in three."#,
        r#""[I will help {rival}|Leave {rival} to me]," {said} {helper}{kindly}. "[Run|Go on]!" {Hero} ran {number}
            steps. Then {he} [stopped|turned around]. "[It is no fun|I can not win] without {rival}," {he} said, and
            {quickly} [went|ran] back. They pulled {rival} out together. {A thief} won the {prize}, and {rival} gave
            {hero} [a hug|{rival.his} {food2}|{rival.his} best marble]."#,
    ],
    alone: &[
        r#"{He} {quickly} [stopped|turned around] and held out {his} hand. {Rival} [took|grabbed] it. "[I was rude to
            you|I laughed at you]," {rival} said. "I [know|heard it]," said {hero}. "[Come on|Hurry]!" They went on
            together. They came in as number {number}, and the [judge|mayor|queen] gave them a special {prize} made of
            {food2}."#,
    ],
};

const LOST: Obstacle = Obstacle {
    name: "wrong way",
    happens: r#"{Hero} did not see the [flags|arrows]. {He} {quickly} went [left|right] at {a tree} tree, past
        {a thing}, past {a critter}, and then there was nobody in sight. "{oh}!" {cried} {hero}. {He} felt {very}
        {sad}, like {like}."#,
    plea: "I took the wrong way in the {contest}",
    helped: &[
        r#""[There is|I know] a shortcut," {said} {helper}{kindly}, "[but it is muddy|but it is steep|through the
            mayor's cellar|past the angry {thief}]." They {quickly} went over {a nice} wall, under a fence and through
            a field of {flower}. {Hero} came in [last|from the wrong side|backward], {color2} from head to toe. The
            [judge|mayor|queen] laughed so hard that {he} got [a special {prize}|{number} spoons of {food2}]."#,
        r#""[Forget the race|There will be other races]," {said} {helper}{kindly}. "[Look where we are|Look around
            you]!" From there they could see [{bloom} everywhere|the whole land|{number} villages|the {landmark}].
            They {quickly} sat down and ate {food2}. Then a [firefly|butterfly|raindrop|red leaf|feather] [came
            by|landed on {hero}'s nose], and that was better than {a prize}."#,
    ],
    alone: &[
        r#"{He} {quickly} climbed {a nice} {color2} gate and looked [around|for the flags]. There was the line! {He}
            ran [straight|at once] through [a stream|a garden|a herd of sheep|the washing], with {a thing} on one foot
            and {a thief} running behind {him}. {He} came in [third|fourth|next to last], and {rival} [shook {his}
            hand|gave {him} a slap on the back|shared the {prize} with {him}]."#,
    ],
};
