// Invented members and candidates, one list for each product that ships.
export const EXAMPLES = {
  jobs: {
    member: `headline: Data engineer
skills: python, spark, airflow, sql
experience: Built streaming pipelines and a data warehouse for a bank.`,
    candidates: `title: Senior data engineer
skills: python, spark, kafka
description: Own our data platform and its pipelines.

title: Analytics engineer
skills: sql, dbt
description: Model the warehouse and its metrics.

title: Database administrator
skills: postgresql, backups
description: Keep our databases fast and safe.

title: Frontend developer
skills: typescript, react
description: Build the dashboards that our customers see.

title: Warehouse operative
skills: forklift licence
description: Pick and pack goods on the night shift.

title: Pastry chef
skills: baking
description: Bake for a small hotel.`,
  },
  products: {
    member: "query: wireless mouse for a small hand",
    candidates: `title: Compact wireless mouse, 2.4 GHz
brand: Nimbus
color: grey
bullet_points: USB receiver, silent clicks, for small hands

title: Ergonomic vertical mouse with Bluetooth
brand: Arco
color: black
bullet_points: rechargeable, six buttons

title: Wired gaming mouse, 12,000 dpi
brand: Volt
color: black
bullet_points: braided cable, RGB light

title: Mouse pad with wrist rest
brand: Nimbus
color: blue
bullet_points: gel, anti-slip base

title: Wireless keyboard
brand: Arco
color: white
bullet_points: slim, quiet keys

title: Ceramic coffee mug, 350 ml
brand: Terra
color: green
bullet_points: dishwasher safe`,
  },
};
