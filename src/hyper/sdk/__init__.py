"""What `import hyper` gives programs: a blocking client, its asyncio twin and Sandbox. Imports
nothing here."""
