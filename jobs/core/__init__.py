"""What a job is made of: values, settings, cadences, scores and atomic files. Nothing here touches the world."""
