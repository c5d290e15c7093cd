"""Files to chunks, questions to the chunks that may answer them, answers to cited lines."""
