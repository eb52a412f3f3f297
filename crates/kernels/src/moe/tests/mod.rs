mod experts;
mod losses;
mod route;
