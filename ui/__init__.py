"""What the pages share: shell, session state, jobs, media, drawing. The engine never imports it."""
