//! A little one who needs help.

use super::{Goal, Obstacle};

pub(super) const GOAL: Goal = Goal {
    name: "foundling",
    wants: r#"{then} {hero} [was walking|was playing|went for a walk] {place.at} with {his} {dear} {toy}. "{Baby.cry},
        {baby.cry}," said [something|a small voice] {spot}. {Hero} {quickly} bent down. There was {a nice} {baby},
        [all alone|shaking|as small as {a thing}|next to {a thing}|with {a critter} on its head]. "[Hello, little
        one,|Oh my, little one,|Poor thing,|Who are you?|Where is your mother?]" {he} [said|whispered|cried]{kindly}."#,
    moral: r#"[was kind to|looked after|listened to] everyone who was [small|little|smaller than {he} was]"#,
    obstacles: &[MOTHER, HUNGRY, HURT],
};

const MOTHER: Obstacle = Obstacle {
    name: "mother",
    happens: r#"The {baby} had lost its mother. {Hero} {quickly} [looked|called] [left and right|up and down|all
        around], but {he} saw only {a critter} and {a thing}. {He} felt {very} {sad}, like {like}."#,
    plea: "This {baby} has lost its mother",
    helped: &[
        r#"{Helper} [put|set] the {baby} in {a nice} [hat|basket|bag] and they {quickly} [walked|went] from {place} to
            the {landmark}. They asked {a critter}. They asked {a thief}. "[Yes|Oh yes]," said the {thief}, "I saw a
            {baby.mother} [this morning|an hour ago], [crying|looking everywhere]." And there she came! "{Baby.cry}!"
            said the {baby}."#,
        r#""[Let it call|We will all call] as loud as we can," {said} {helper}{kindly}. "{Baby.cry}!" {cried} {hero}.
            "{Baby.cry}!" {cried} {helper}. They called {number} times. Then {a baby.mother} {quickly} came
            [running|hurrying] out [from behind {a tree} tree|of the {flower}|of the bushes] and [hugged|kissed] her
            little one."#,
    ],
    alone: &[
        r#"{He} [saw|found] small tracks in the [mud|sand|dust]. {He} {quickly} [took|carried] the {baby} in {his}
            arms and followed them, past {a thing}, past {number} {flower}, over {a nice} [bridge|fence|log]. At the
            end of the tracks [stood|sat] {a baby.mother}. "{Baby.cry}!" said the {baby}, and it [jumped|ran|hopped]
            to her."#,
    ],
};

const HUNGRY: Obstacle = Obstacle {
    name: "hungry",
    happens: r#"The {baby} was [hungry|very hungry]. {Hero} gave it {food}, but it [turned its head away|did not want
        that|spat it out]. {He} gave it {food2}, but it only [cried|looked at {him}|shut its mouth]. {Hero} was {very}
        {sad}, like {like}."#,
    plea: "This little {baby} will not eat",
    helped: &[
        r#"{Helper} [bent|leaned] down and listened. "[It wants to be sung to|It wants company|It does not like to eat
            alone]," {said} {helper}{kindly}. So they all {quickly} sat down {spot2} and [shared|ate] the {food}, [and
            sang a song about {a critter}|and told a story about {a critter}]. The {baby} ate {number} bites and
            [burped|smiled|fell asleep]."#,
        r#""{A baby} likes [warm milk|soft seeds|oats|corn mush|clover]," {said} {helper}{kindly}. They {quickly}
            [mixed|cooked|stirred] some in {a thing} and blew on it. The {baby} [licked|sniffed|tried] it. Then it ate
            [all of it|everything], and it [danced|hopped|rolled] around {hero} {number} times."#,
    ],
    alone: &[
        r#"{He} tried [grass|seeds|oats|milk]. [No|Not that]! {He} tried some {flower}. [No|Not that]! Then the {baby}
            [saw|smelled] the crumbs in {his} pocket. They were {number} days old, but it {quickly} [ate|gobbled] them
            all, and it said "{Baby.cry}" in a [happy|loud|sleepy] voice."#,
    ],
};

const HURT: Obstacle = Obstacle {
    name: "hurt",
    happens: r#"The {baby} had [hurt its foot|a thorn in its foot|hurt its leg], and it could not [walk|stand]. [A
        cold wind blew|It began to rain|It was getting dark]. {Hero} [put a blanket around it|held it close|gave it
        {his} {toy}], but {he} felt {very} {sad}, like {like}."#,
    plea: "This {baby} is hurt",
    helped: &[
        r#"{Helper} {quickly} [washed|looked at] the little foot. "[Hold still|Be brave]," {helper.he} said, "and
            think of {food}." Then {helper} tied {a nice} {color2} ribbon around it, [gently|with a bow|very
            carefully]. The {baby} [stood up|took a step]. "{Baby.cry}!" it said, and [licked|kissed] {hero} on the
            [nose|hand|ear]."#,
        r#"They {quickly} made {a nice} [bed|nest] out of [hay|moss|leaves|wool] and {a thing}. {Helper} brought
            [soup|tea|water] and {hero} told it stories about {a critter} and {a critter}. After {number} days the
            {baby} could [run|jump|walk] again. "{Baby.cry}!" it said, and [hopped|ran] off to the {baby.mother} who
            was waiting for it."#,
    ],
    alone: &[
        r#"{He} {quickly} [carried|took] it home and put it in {a nice} [box|basket|drawer] [by|near] the stove. {He}
            {quickly} washed its foot and gave it {food}. After {number} days it could [run|jump|walk], and it
            followed {him} everywhere, even [to school|into the bath|up the stairs|to bed]."#,
    ],
};
