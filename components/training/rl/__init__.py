"""Reinforcement learning from rewards: answers are sampled, rewarded, and made likelier or less likely.

One round: `rollouts` samples answers to some prompts, `rewards` says what each is worth, an algorithm (`ppo`, or
`groups`: grpo and rloo) says which tokens deserve credit for that and what the loss is, and `rounds` drives it all.
"""
